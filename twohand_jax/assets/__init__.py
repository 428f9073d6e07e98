"""What ships with the package beside the hand model: pictures, models, a script."""

from pathlib import Path

DEMO = Path(__file__).parent / "demo.jpg"
REGRESSOR = Path(__file__).parent / "open_regressor"
PRIOR = Path(__file__).parent / "open_prior"
PAIR_ENCODER = Path(__file__).parent / "open_pair_encoder"
SEGDEPTH = Path(__file__).parent / "open_segdepth"
HAND_PAGE_SCRIPT = Path(__file__).parent / "hand_page.js"
HAND_LANDMARK = Path(__file__).parents[1] / "cues/assets/hand_landmark_full.tflite"
