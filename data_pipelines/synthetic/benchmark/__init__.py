"""The frozen synthetic benchmark: scenes, rendering, and the check of a set."""

from data_pipelines.synthetic.benchmark.check import NAME, Verdict, verify

__all__ = ["NAME", "Verdict", "verify"]
