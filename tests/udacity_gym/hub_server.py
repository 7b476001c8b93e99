"""A server that stands in for the Hugging Face Hub: repositories in memory."""

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Hub(ThreadingHTTPServer):
    """The server.

    Attributes:
        repositories: files of each repository, by "models/user/name" or "datasets/user/name".
        token: token without which nothing can be uploaded.
    """

    def __init__(self, token: str) -> None:
        super().__init__(("127.0.0.1", 0), _Requests)
        self.repositories: dict[str, dict[str, bytes]] = {}
        self.token = token

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


@contextmanager
def hub(token: str = "hf_secret") -> Iterator[Hub]:
    server = Hub(token)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _commit(files: dict[str, bytes]) -> str:
    digest = hashlib.sha1()
    for name in sorted(files):
        digest.update(name.encode() + files[name])
    return digest.hexdigest()


class _Requests(BaseHTTPRequestHandler):
    server: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments: Any) -> None:
        pass

    def _answer(self, data: Any, status: int = 200, headers: dict[str, str] | None = None) -> None:
        body = data if isinstance(data, bytes) else json.dumps(data).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Authorization") != f"Bearer {self.server.token}":
            self._answer({"error": "Invalid token"}, 401)
            return
        if self.path == "/api/repos/create":
            asked = json.loads(body)
            name = f"{asked.get('organization') or 'user'}/{asked['name']}"
            kind = f"{asked.get('type') or 'model'}s"
            self.server.repositories.setdefault(f"{kind}/{name}", {})
            place = name if kind == "models" else f"{kind}/{name}"
            self._answer({"url": f"{self.server.url}/{place}"})
        elif self.path == "/api/validate-yaml":
            self._answer({"errors": [], "warnings": []})
        elif match := re.fullmatch(r"/api/(\w+/[\w-]+/[\w-]+)/preupload/main", self.path):
            paths = [file["path"] for file in json.loads(body)["files"]]
            modes = [{"path": path, "uploadMode": "regular", "shouldIgnore": False} for path in paths]
            self._answer({"files": modes})
        elif match := re.fullmatch(r"/api/(\w+/[\w-]+/[\w-]+)/commit/main", self.path):
            files = self.server.repositories[match[1]]
            for line in map(json.loads, body.splitlines()):
                if line["key"] == "file":
                    files[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
            commit = _commit(files)
            url = f"{self.server.url}/{match[1].removeprefix('models/')}/commit/{commit}"
            self._answer({"success": True, "commitOid": commit, "commitUrl": url})
        else:
            self._answer({"error": f"unknown request {self.path}"}, 404)

    def do_GET(self) -> None:
        if match := re.match(r"/api/(\w+/[\w-]+/[\w-]+)(/revision/main)?(\?.*)?$", self.path):
            files = self.server.repositories.get(match[1])
            if files is None:
                self._answer({"error": "not found"}, 404, {"X-Error-Code": "RepoNotFound"})
                return
            siblings = [{"rfilename": file, "size": len(data)} for file, data in files.items()]
            name = match[1].partition("/")[2]
            self._answer({"_id": "1", "id": name, "sha": _commit(files), "siblings": siblings})
        elif match := re.match(r"/api/(\w+/[\w-]+/[\w-]+)/tree/\w+\?recursive=true", self.path):
            files = self.server.repositories[match[1]]
            self._answer(
                [
                    {"type": "file", "path": file, "size": len(data), "oid": hashlib.sha1(data).hexdigest()}
                    for file, data in files.items()
                ]
            )
        elif match := re.fullmatch(r"/([\w-]+/[\w-]+)/resolve/(\w+)/(.+)", self.path):
            files = self.server.repositories[f"models/{match[1]}"]
            data = files[match[3]]
            etag = f'"{hashlib.sha1(data).hexdigest()}"'
            self._answer(data, headers={"ETag": etag, "X-Repo-Commit": _commit(files)})
        else:
            self._answer({"error": f"unknown request {self.path}"}, 404)

    def do_HEAD(self) -> None:
        self.do_GET()
