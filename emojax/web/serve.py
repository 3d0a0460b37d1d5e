"""Serves the page to this machine only; all requests of Gradio to other machines are disabled."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from emojax.errors import InputError
from emojax.pipeline import Model

HOST, MAX_UPLOAD = "127.0.0.1", "40mb"
MAX_VISITORS = 100
"""number of pages whose photos are kept in memory, 3 MB each"""
POLICY = "default-src 'self' data: blob: 'unsafe-inline' 'unsafe-eval'; form-action 'self'; frame-ancestors 'none'"
"""Content-Security-Policy: the browser blocks requests to other hosts, whatever a later Gradio has in its page"""


def with_policy(app: Callable[..., Any]) -> Callable[..., Any]:
    """ASGI middleware that adds `POLICY` to every answer."""

    async def answer(scope: Any, receive: Any, send: Any) -> None:
        async def send_on(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start":
                headers = [*message.get("headers", []), (b"content-security-policy", POLICY.encode())]
                message = {**message, "headers": headers}
            await send(message)

        await app(scope, receive, send_on)

    return answer


@contextmanager
def serve(model: Model, port: int | None = None, seconds_kept: int = 3600) -> Iterator[str]:
    """Yields the page's address; at the end of the block the server stops, and all its files are deleted.

    Args:
        port: None: the first free one from 7860 on.
        seconds_kept: seconds after which uploads and pictures are deleted.

    Raises:
        InputError: Gradio is missing, or the port is taken.
    """
    with tempfile.TemporaryDirectory(prefix="emojax-web-", ignore_cleanup_errors=True) as folder:
        direct = ",".join(filter(None, (os.environ.get("NO_PROXY"), HOST)))  # Gradio sends itself a request
        quiet = {"GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_OFFLINE": "1"}
        os.environ.update(quiet, GRADIO_TEMP_DIR=folder, NO_PROXY=direct, no_proxy=direct)
        try:
            import gradio as gr
            from starlette.middleware import Middleware
            from starlette.middleware.trustedhost import TrustedHostMiddleware
        except ModuleNotFoundError as error:
            raise InputError(f"the page needs the package {error.name}: pip install 'emojax[web]'") from None
        from emojax.web.page import build

        page = build(model, seconds_kept)
        # The first rejects requests by other host names that resolve to this machine (DNS rebinding).
        guards = [Middleware(TrustedHostMiddleware, allowed_hosts=[HOST, "localhost"]), Middleware(with_policy)]
        font = gr.themes.Font("sans-serif")  # the system's own; Gradio's come from files or from Google
        off = dict.fromkeys(("share", "ssr_mode", "mcp_server", "enable_monitoring", "run_history", "pwa"), False)
        look = {"theme": gr.themes.Soft(primary_hue="pink", font=font, font_mono=font), "footer_links": []}
        look |= {"css_paths": Path(__file__).with_name("page.css"), "app_kwargs": {"middleware": guards}}
        bounds = {"max_file_size": MAX_UPLOAD, "state_session_capacity": MAX_VISITORS, "allowed_paths": []}
        where = {"server_name": HOST, "server_port": port, "quiet": True, "prevent_thread_lock": True}
        try:
            address = page.launch(**where, **bounds, **look, **off)[1]
        except OSError as error:
            raise InputError(f"cannot serve the page: {error}; choose another `port`", "port") from None
        try:
            yield address
        finally:
            page.close(verbose=False)
