"""Presets of `emojax train styles`."""

from dataclasses import replace

from emojax.emotions import EMOTIONS as EMOTION_NAMES
from emojax.emotions import PHOTO
from emojax.losses.objective import COLUMN_LAYERS, STROKE_WEIGHTS
from emojax.nets.stylizer_config import StylizerConfig
from emojax.train.hooks import LoopConfig
from emojax.train.optimizer import OptimizerConfig
from emojax.train.styles.config import PhotoConfig, StyleLossConfig, StyleTraining

# The painting of each emotion for the paper's recipe, if the emotion's folder has several.
PRIMARY_PAINTINGS = (
    "russolo_la_rivolta.jpg",
    "kandinsky_the_blue_rider.jpg",
    "munch_the_scream.jpg",
    "van_gogh_wheatfield_setting_sun.jpg",
    "van_gogh_starry_night_over_the_rhone.jpg",
    "kandinsky_composition_vii.jpg",
    "seurat_la_grande_jatte.jpg",
)

# The paintings that the packaged network learned. A jury kept those with broad strokes and with warm and cold colours side by
# side; it kept no picture of a single hue. Three of these paintings are not used below. See docs/results.md.
LEARNED_PAINTINGS = (
    "delaunay_champs_de_mars_red_tower",
    "marc_picture_with_cattle",
    "toulouse_lautrec_at_the_moulin_rouge",
    "kandinsky_the_blue_rider",
    "munch_the_scream",
    "kandinsky_composition_vii",
    "van_gogh_wheatfield_setting_sun",
    "munch_melancholy",
    "van_gogh_starry_night_over_the_rhone",
    "seurat_la_grande_jatte",
)

# The parts with brushwork and contrast; the lower parts of these paintings have a single colour.
PAINTING_CROPS = (
    "toulouse_lautrec_at_the_moulin_rouge=0.15,0,1,0.62",
    "kandinsky_the_blue_rider=0,0,1,0.55",
    "van_gogh_wheatfield_setting_sun=0,0,1,0.55",
    "van_gogh_starry_night_over_the_rhone=0,0.3,1,0.85",
    "seurat_la_grande_jatte=0,0,1,0.6",
)

# The packaged styles. Mixes have richer colours than most single paintings, and jurors recognize their moods.
EMOTION_MIXES = (
    "angry=kandinsky_composition_vii:0.5,munch_the_scream:0.5",
    "disgust=kandinsky_the_blue_rider:0.5,marc_picture_with_cattle:0.5",
    "fear=munch_the_scream:0.7,munch_melancholy:0.3",
    "happy=kandinsky_composition_vii:0.5,seurat_la_grande_jatte:0.5",
    "sad=munch_melancholy:0.8,kandinsky_composition_vii:0.2",
    "surprise=marc_picture_with_cattle",
    "neutral=seurat_la_grande_jatte:0.34,delaunay_champs_de_mars_red_tower:0.33,munch_melancholy:0.33",
)

# The packaged default has no layers at the photo's full size, since those take the most time on a CPU; see docs/results.md.
DEFAULT_MODEL = StylizerConfig(width=16, patch=2)

# The paper: one network per emotion (choose it with --emotion), 5 epochs over the photos, batch 4, 256 x 256.
PAPER = StyleTraining(
    emotion="happy",
    batch_size=4,
    epochs=5,
    data=PhotoConfig(crop=256, prefer=PRIMARY_PAINTINGS),
    optimizer=OptimizerConfig(learning_rate=1e-3),
)

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

# The packaged styles, on a GPU in one command that trains by the clock, mixes, scores and writes a release folder:
#   emojax train styles gpu --minutes 9 --initial CHECKPOINT --data.photos content_mix.tar --data.paintings styles
#       --data.faces faces.json --score_on content/val --release mine
# On two CPU cores, add --batch_size 2 --data.crop 224 --data.workers 1 --dtype float32 and use more minutes.
# Gram errors of the shallow layers, weighted as in Johnson's absolute loss, produce strokes; transport and moments give the
# palette; self-similarity inside faces preserves people's identity; flatness prevents halos and blotches.
GPU = replace(
    EMOTIONS,
    model=replace(DEFAULT_MODEL, style_names=(*LEARNED_PAINTINGS, PHOTO)),
    mixes=EMOTION_MIXES,
    batch_size=16,
    steps=10_000,
    dtype="bfloat16",
    data=PhotoConfig(
        crop=256,
        scale=(0.7, 2.0),
        workers=14,
        painting_size=512,
        painting_crops=PAINTING_CROPS,
        find_faces=True,
        held_out=1,
    ),
    loss=StyleLossConfig(
        content=1.5,
        face_similarity=40.0,
        transport=3.0,
        moments=2.0,
        palette=4.0,
        style=60.0,
        style_layers=COLUMN_LAYERS,
        style_layer_weights=STROKE_WEIGHTS,
        strengths=(1.0, 1.0, 1.0, 1.0, 0.7, 1.0, 1.0, 0.9, 1.0, 1.0),
        tv=0.3,
        flatness=150.0,
        steadiness=0.3,
    ),
    optimizer=OptimizerConfig(learning_rate=1e-3, warmup_steps=20, schedule="cosine", clip_norm=1.0),
    # No evaluation: compiling it for a GPU takes as long as hundreds of steps.
    loop=LoopConfig(log_every=20, evaluate_every=0, save_every=100_000, save_minutes=1.0),
)

# The smaller packaged network, "fast", which learns the pictures of the default.
#   emojax train styles fast --data.photos content_mix.tar --release fast
FAST = replace(
    EMOTIONS,
    model=StylizerConfig(width=16, blocks=3, patch=4, style_names=(*EMOTION_NAMES, PHOTO)),
    teacher="default",
    batch_size=8,
    steps=10_000,
    data=PhotoConfig(crop=192, scale=(0.7, 2.0)),
    optimizer=OptimizerConfig(learning_rate=2e-3, warmup_steps=20, schedule="cosine", clip_norm=1.0),
    loop=LoopConfig(log_every=50, evaluate_every=1000, save_every=200),
)

# One more style for a trained network, `emojax style add`. Only a row of scales and shifts is trained, at a high rate.
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

PRESETS = {"paper": PAPER, "emotions": EMOTIONS, "gpu": GPU, "fast": FAST, "tiny": TINY}
