"""What ships with the package beside the hand model: pictures and trained models."""

from pathlib import Path

DEMO = Path(__file__).parent / "demo.jpg"
REGRESSOR = Path(__file__).parent / "open_regressor"
PRIOR = Path(__file__).parent / "open_prior"
FEATURES = Path(__file__).parent / "open_features"
MAPS = Path(__file__).parent / "open_maps"
