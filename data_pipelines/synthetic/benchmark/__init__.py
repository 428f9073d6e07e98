"""The frozen synthetic benchmark: scenes, rendering, and the check of a set."""

from data_pipelines.synthetic.benchmark.check import Verdict, verify
from data_pipelines.synthetic.benchmark.manifest import NAME

__all__ = ["NAME", "Verdict", "verify"]
