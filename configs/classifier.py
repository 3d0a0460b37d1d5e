"""Presets of train_classifier.py."""

from emojax.classifier import ClassifierConfig
from emojax.train.classifier import ClassifierTraining
from emojax.train.loop import LoopConfig, OptimizerConfig

# The paper: 50 epochs of Adam at 1e-3 on ExpW, the training split balanced by drawing rare classes more often, each
# draw augmented afresh. Give it ExpW as it is distributed: --data.root data/expw.
EXPW = ClassifierTraining(
    epochs=50,
    optimizer=OptimizerConfig(learning_rate=1e-3),
)

# What the package ships: the 21-layer network on all the packed faces.
DEFAULT = ClassifierTraining(
    epochs=12,
    label_smoothing=0.05,
    optimizer=OptimizerConfig(learning_rate=1e-3, warmup_steps=100, schedule="cosine"),
    loop=LoopConfig(log_every=20, evaluate_every=180, save_every=90),
)

# Seconds, not minutes: for tests.
TINY = ClassifierTraining(
    batch_size=4,
    steps=4,
    model=ClassifierConfig(widths=(4, 4, 8), dense=8, size=16),
    loop=LoopConfig(log_every=1, evaluate_every=2, save_every=2),
)

PRESETS = {"expw": EXPW, "default": DEFAULT, "tiny": TINY}
