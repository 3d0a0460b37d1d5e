"""Presets of train_style.py."""

from dataclasses import replace

from emojax.emotions import EMOTIONS as EMOTION_NAMES
from emojax.emotions import PHOTO
from emojax.nets.stylizer import StylizerConfig
from emojax.train.loop import LoopConfig
from emojax.train.optimizer import OptimizerConfig
from emojax.train.styles.config import PhotoConfig, StyleLossConfig, StyleTraining

# The paintings of the packaged styles, where an emotion's folder holds several. Harvest in Provence and Bathers at Asnieres
# were tried for happy and neutral, and a jury kept none of their pictures; see docs/results.md.
PRIMARY_PAINTINGS = (
    "russolo_la_rivolta.jpg",
    "kandinsky_the_blue_rider.jpg",
    "munch_the_scream.jpg",
    "van_gogh_wheatfield_setting_sun.jpg",
    "van_gogh_starry_night_over_the_rhone.jpg",
    "kandinsky_composition_vii.jpg",
    "seurat_la_grande_jatte.jpg",
)

# The packaged default has no layers at the photo's full size, which take a CPU the most time; see docs/results.md.
DEFAULT_MODEL = StylizerConfig(width=16, patch=2)

# The paper: one network per emotion (choose it with --emotion), 5 epochs over the photos, batch 4, 256 x 256.
PAPER = StyleTraining(
    emotion="happy",
    batch_size=4,
    epochs=5,
    data=PhotoConfig(crop=256, prefer=PRIMARY_PAINTINGS),
    optimizer=OptimizerConfig(learning_rate=1e-3),
)

# With a further style that reproduces the photo, for strengths below 1.
SHIPPED_MODEL = replace(DEFAULT_MODEL, styles=(*EMOTION_NAMES, PHOTO))

# All seven styles in one network, from scratch.
EMOTIONS = StyleTraining(
    model=DEFAULT_MODEL,
    batch_size=4,
    steps=2000,
    data=PhotoConfig(crop=128, prefer=PRIMARY_PAINTINGS),
    loss=StyleLossConfig(content=1.0, style=3.0, tv=0.5),
    optimizer=OptimizerConfig(learning_rate=1e-3, warmup_steps=50, schedule="cosine", clip_norm=1.0),
    loop=LoopConfig(log_every=20, evaluate_every=250, save_every=100),
)

# The recipe that is to replace the packaged styles (docs/results.md), on a GPU in one command that trains by the clock, scores
# and writes a release folder:
#   python train_style.py gpu --minutes 9 --initial CHECKPOINT --data.photos content_mix.tar --data.paintings styles
#       --vgg16 vgg16_to_conv4_3_f16.safetensors --score_on content/val --pack mine
# and on two CPU cores the same with --batch_size 2 --data.crop 224 --data.workers 1 --dtype float32 and more minutes.
# Transport gives strokes and palette, self-similarity keeps the photo's structure, most of all in faces, and the Gram errors of
# the shallow layers, which also dominate Johnson's absolute loss, make strokes appear early.
GPU = replace(
    EMOTIONS,
    model=SHIPPED_MODEL,
    batch_size=16,
    steps=10_000,
    dtype="bfloat16",
    data=PhotoConfig(
        crop=256,
        scale=(0.7, 2.0),
        workers=14,
        prefer=PRIMARY_PAINTINGS,
        painting_size=400,
        # Without its horizon with a town, and without its sky, which would be painted wherever a photo is smooth.
        painting_crops=("happy=0,0.36,1,1",),
        find_faces=True,
    ),
    loss=StyleLossConfig(
        content=0.0,
        similarity=6.0,
        face_similarity=8.0,
        transport=1.0,
        moments=0.5,
        palette=2.0,
        style=6.0,
        style_layers=("relu1_2", "relu2_2", "relu3_3"),
        style_layer_weights=(0.45, 0.45, 0.10),
        tv=0.5,
        steadiness=0.05,
    ),
    optimizer=OptimizerConfig(learning_rate=1e-3, warmup_steps=20, schedule="cosine", clip_norm=1.0),
    loop=LoopConfig(log_every=20, evaluate_every=100_000, save_every=100_000, save_minutes=1.0),
)

# Continues an earlier checkpoint with photos that are enlarged up to three times, to resemble large photos, and with less
# weight on the style. The strengths follow those that `evaluate` proposed for that checkpoint.
REFINE = replace(
    EMOTIONS,
    batch_size=2,
    steps=900,
    data=replace(EMOTIONS.data, crop=256, scale=(0.8, 3.0)),
    loss=replace(EMOTIONS.loss, style=2.3, strengths=(1.15, 0.9, 1.15, 1.0, 0.95, 1.15, 0.75)),
    optimizer=replace(EMOTIONS.optimizer, learning_rate=5e-4, warmup_steps=20),
    loop=LoopConfig(log_every=20, evaluate_every=400, save_every=50),
)

# One more style for a trained network, `train_style.py add`. Only a row of scales and shifts learns, at a high rate.
ADD = StyleTraining(
    batch_size=2,
    steps=200,
    data=PhotoConfig(crop=192, scale=(0.7, 2.0), held_out=4, painting_size=480, find_faces=True),
    loss=replace(GPU.loss, strengths=()),
    optimizer=OptimizerConfig(learning_rate=1e-2, warmup_steps=10, schedule="cosine", clip_norm=1.0),
    loop=LoopConfig(log_every=20, evaluate_every=100, save_every=50),
)

# Seconds, not minutes: for tests.
TINY = StyleTraining(
    batch_size=2,
    steps=4,
    data=PhotoConfig(crop=16, painting_size=32, prefer=PRIMARY_PAINTINGS, held_out=1),
    model=StylizerConfig(width=4, blocks=1),
    loop=LoopConfig(log_every=1, evaluate_every=2, save_every=2),
)

PRESETS = {"paper": PAPER, "emotions": EMOTIONS, "refine": REFINE, "gpu": GPU, "tiny": TINY}
