"""photo -> faces -> emotion probabilities -> style code -> stylized photo.

`forward` has the whole as pure functions, `model` what users call; `sizes`, `programs`, `tiles` and `large` say how a photo of
any size becomes one of few shapes.
"""

from emojax.errors import NoFaceError as NoFaceError
from emojax.pipeline.loading import available_models as available_models
from emojax.pipeline.loading import load as load
from emojax.pipeline.model import Model as Model
from emojax.pipeline.result import ReadFace as ReadFace
from emojax.pipeline.result import Result as Result
