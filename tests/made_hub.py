"""A small server that speaks as much of the hub's protocol as a push and a download need."""

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote

REVISION = "a" * 40
Repositories = dict[str, dict[str, bytes]]


class _Hub(BaseHTTPRequestHandler):
    repositories: Repositories

    def do_POST(self) -> None:
        """Make a repository, agree to take whole files, and take them."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        parts = self.path.strip("/").split("/")
        if self.path == "/api/repos/create":
            wanted = json.loads(body)
            name = f"{wanted.get('organization') or 'someone'}/{wanted['name']}"
            self.repositories.setdefault(name, {})
            self._json({"url": f"http://{self.headers['Host']}/{name}", "name": name, "id": name})
        elif parts[-2:] == ["preupload", "main"]:
            asked = json.loads(body)["files"]
            self._json(
                {"files": [{"path": file["path"], "uploadMode": "regular", "shouldIgnore": False} for file in asked]}
            )
        elif parts[-2:] == ["commit", "main"]:
            for line in map(json.loads, body.splitlines()):
                if line["key"] == "file":
                    content = base64.b64decode(line["value"]["content"])
                    self.repositories["/".join(parts[2:4])][line["value"]["path"]] = content
            self._json(
                {"commitUrl": f"http://{self.headers['Host']}/someone/x/commit/{REVISION}", "commitOid": REVISION}
            )
        else:
            self._json({"errors": [], "warnings": []})

    def do_GET(self) -> None:
        """Describe a repository, list its files, or give one of them."""
        parts = unquote(self.path.split("?")[0]).strip("/").split("/")
        api = parts[0] == "api"
        name = "/".join(parts[2:4] if api else parts[:2])
        files = self.repositories.get(name)
        if files is None:
            self._json({"error": "Repository not found"}, status=404, code="RepoNotFound")
        elif api and "tree" in parts:
            self._json([{"type": "file", "path": path, "size": len(files[path]), "oid": "0" * 40} for path in files])
        elif api:
            listed = [{"rfilename": path} for path in files]
            self._json({"id": name, "sha": REVISION, "siblings": listed, "private": False, "tags": [], "downloads": 0})
        elif (path := "/".join(parts[4:])) in files:
            self._send(files[path])
        else:
            self._json({"error": "Entry not found"}, status=404, code="EntryNotFound")

    do_HEAD = do_GET  # noqa: N815

    def _json(self, content: Any, *, status: int = 200, code: str = "") -> None:
        self._send(json.dumps(content).encode(), status=status, code=code)

    def _send(self, content: bytes, *, status: int = 200, code: str = "") -> None:
        self.send_response(status)
        for name, value in (
            ("Content-Length", str(len(content))),
            ("Content-Type", "application/json"),
            ("ETag", f'"{hashlib.sha1(content).hexdigest()}"'),
            ("X-Repo-Commit", REVISION),
            *([("X-Error-Code", code)] if code else []),
        ):
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, format: str, *arguments: Any) -> None:
        """Say nothing."""


@contextmanager
def serving() -> Iterator[tuple[str, Repositories]]:
    """The address of a hub of one's own, and its repositories: the files of each by name."""
    handler = type("Hub", (_Hub,), {"repositories": {}})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", handler.repositories
    finally:
        server.shutdown()
        server.server_close()
