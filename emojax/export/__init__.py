"""Exports the networks for use without emojax: `emojax export`. docs/export.md has examples.

stablehlo   one self-contained program (weights inside) for CPU, CUDA and TPU, read by `jax.export.deserialize`:
    --part stylize    (uint8 [B, H, W, 3], float32 [B, 7]) -> uint8 [B, H, W, 3]; any B, any H and W from 16 up
    --part classify   uint8 [B, S, S, 3] -> float32 [B, 7]; any B, S the classifier's own size (it is printed)
    --part all        uint8 [H, W, 3] -> picture uint8 [H, W, 3], number of faces int32 [], boxes float32 [F, 4]
                      (x, y, w, h; the largest first), landmarks float32 [F, 5, 2], probabilities float32 [F, 7], weights of
                      the styles float32 [S]; any H and W from 16 up
    Photos and crops are RGB. The seven weights and probabilities are in the order of `emojax.EMOTIONS`. The networks of a
    network set do not mix; the one with the greatest weight is used. The program does not contain compiler options: on a
    CPU, call it inside a `jax.jit` with those of `emojax.util.compiling` (about 3.1 times as fast).
onnx        an ONNX model of opset 18, written from the parameters:
    --part stylize    photos, weights -> stylized, as above, but the weights are float32 [B, S], one per style
    --part classify   crops -> probabilities, as above
    --part all        photo -> picture, number, boxes, landmarks, probabilities, style, as above
    The names of the styles are in the metadata "styles", as JSON. If there is a style "photo", its weight reduces the
    strength by that share. Network sets cannot be exported as ONNX.
safetensors   the arrays, float32, kernels HWIO, under their paths: `classifier/params/...`, `classifier/batch_stats/...`,
    `classifier/temperature` (divides the logits), `styles/network/LAYER/kernel`, `styles/style_table/LAYER/scale` and `shift`
    ([S, C], a row per style). The configs and the names of the styles are in the metadata, as JSON.
web         a folder with a page that paints photos and the webcam in a browser, by ONNX Runtime Web; see `emojax.export.site`.

None of them contains the pipeline's further options, such as `--style-scale` and `--colors`. Only `--part all` finds faces.
"""

from emojax.export.onnx import export_onnx_classify as export_onnx_classify
from emojax.export.onnx import export_onnx_stylize as export_onnx_stylize
from emojax.export.onnx_all import export_onnx_all as export_onnx_all
from emojax.export.site import export_site as export_site
from emojax.export.stablehlo import export_all as export_all
from emojax.export.stablehlo import export_classify as export_classify
from emojax.export.stablehlo import export_stylize as export_stylize
from emojax.export.stablehlo import stylize_any_size as stylize_any_size
from emojax.export.tensors import export_safetensors as export_safetensors
