"""The frozen synthetic benchmark: scenes, rendering, and the check of a set."""

from twohand_jax.pipelines.synthetic.benchmark.check import NAME, Verdict, verify

__all__ = ["NAME", "Verdict", "verify"]
