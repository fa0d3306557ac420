"""nginx as a byte relay: `proxy_buffering off`, one worker, kept connections to the upstream."""

import shutil

from benchmarks.peers.base import Peer, Place

CONFIGURATION = """
daemon off;
worker_processes 1;
worker_rlimit_nofile {connections};
pid {folder}/nginx.pid;
error_log stderr warn;
events {{ worker_connections {connections}; }}
http {{
  access_log off;
  tcp_nodelay on;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  upstream model {{ server 127.0.0.1:{upstream_port}; keepalive 2048; }}
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location / {{
      proxy_pass http://model;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_buffering off;
      proxy_cache off;
      proxy_read_timeout 300s;
    }}
  }}
}}
"""

CONNECTIONS = 16_384
"""Connections of the worker, both sides counted; scenario G needs 10,000."""


def _configure(place: Place) -> None:
    text = CONFIGURATION.format(
        port=place.port, upstream_port=place.upstream_port, folder=place.folder, connections=CONNECTIONS
    )
    (place.folder / "nginx.conf").write_text(text)


def _command(place: Place) -> list[str]:
    return ["nginx", "-p", str(place.folder), "-e", "stderr", "-c", str(place.folder / "nginx.conf")]


PEERS = (
    Peer(
        "nginx",
        "byte relay, proxy_buffering off, one worker",
        _command,
        missing=lambda: "" if shutil.which("nginx") else "nginx is not installed",
        prepare=_configure,
    ),
)
