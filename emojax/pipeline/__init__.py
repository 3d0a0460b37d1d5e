"""photo -> faces -> emotion probabilities -> style code -> stylized photo.

`forward` contains the whole pipeline as pure functions, `networks` compiles them, and `model` is the interface for users.
`painting` optimizes a picture instead of taking the network's. `sizes`, `programs`, `tiles` and `large` reduce photos of any
size to a few shapes.
"""

from emojax.errors import NoFaceError as NoFaceError
from emojax.pipeline.loading import available_models as available_models
from emojax.pipeline.loading import load as load
from emojax.pipeline.model import Model as Model
from emojax.pipeline.result import ReadFace as ReadFace
from emojax.pipeline.result import Result as Result
