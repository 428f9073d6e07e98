"""What the 64 numbers of a hand are, and which hand comes first (METHOD §5)."""

SIZE = 64
POSE, SHAPE = slice(0, 45), slice(45, 55)
ROTATION, TRANSLATION = slice(55, 61), slice(61, 64)
RELATIVE = slice(55, 64)  # where the other hand is: rotation and translation
REFERENCE, OTHER = 0, 1
