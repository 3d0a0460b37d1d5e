"""ExpW as it is distributed: its labels, groups of near-duplicates, splits, and the TFDS data set made from them."""

from emojax.train.faces.expw.dataset import Expw as Expw
from emojax.train.faces.expw.dataset import ExpwFaces as ExpwFaces
from emojax.train.faces.expw.dataset import prepare_expw as prepare_expw
from emojax.train.faces.expw.duplicates import group_photos as group_photos
from emojax.train.faces.expw.duplicates import near_pairs as near_pairs
from emojax.train.faces.expw.duplicates import perceptual_hashes as perceptual_hashes
from emojax.train.faces.expw.labels import FaceLabel as FaceLabel
from emojax.train.faces.expw.labels import cut_labelled_face as cut_labelled_face
from emojax.train.faces.expw.labels import parse_labels as parse_labels
from emojax.train.faces.expw.splits import SPLITS as SPLITS
from emojax.train.faces.expw.splits import archive_splits as archive_splits
from emojax.train.faces.expw.splits import archive_splits_text as archive_splits_text
from emojax.train.faces.expw.splits import assign_splits as assign_splits
