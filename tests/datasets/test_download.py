import hashlib
import os
import shutil
import socket
import ssl
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from pyg_advcf.datasets import download as module
from pyg_advcf.datasets.download import download

CONTENT = b'0 1 2\n' * 50_000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Handler(BaseHTTPRequestHandler):
    r"""Answers the requests with the behaviours that are left, the last one for ever."""
    def do_GET(self):
        self.server.seen.append(self.path)
        plan = self.server.plan
        behaviour = plan.pop(0) if len(plan) > 1 else plan[0]
        getattr(self, behaviour)()

    def answer(self, length, body=CONTENT, status=200):
        self.send_response(status)
        if length is not None:
            self.send_header('Content-Length', str(length))
        self.end_headers()
        self.wfile.write(body)

    def whole(self):
        self.answer(len(CONTENT))

    def truncates(self):
        self.answer(len(CONTENT), CONTENT[:len(CONTENT) // 2])

    def announces_less(self):
        self.answer(len(CONTENT) // 2)

    def announces_nothing(self):
        self.answer(None)

    def announces_nonsense(self):
        self.answer('many')

    def changed(self):
        self.answer(len(CONTENT), CONTENT[::-1])

    def keeps_open(self):
        self.whole()
        self.server.stop.wait(20)

    def stalls(self):
        self.answer(len(CONTENT), CONTENT[:1000])
        self.server.stop.wait(20)

    def stalls_at_once(self):
        self.server.stop.wait(20)

    def resets(self):
        self.answer(len(CONTENT), CONTENT[:1000])
        # No 'linger': the connection is reset instead of closed.
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b'\1\0\0\0\0\0\0\0')
        self.connection.close()

    def chunks(self, parts=2):
        self.protocol_version = 'HTTP/1.1'
        self.send_response(200)
        self.send_header('Transfer-Encoding', 'chunked')
        self.end_headers()
        half = len(CONTENT) // 2
        for part in (CONTENT[:half], CONTENT[half:], b'')[:parts]:
            self.wfile.write(b'%x\r\n%s\r\n' % (len(part), part))

    def whole_chunks(self):
        self.chunks(3)

    def nonsense(self):
        self.wfile.write(b'\0\1\2\3')

    def error_404(self):
        self.answer(0, b'', 404)

    def error_500(self):
        self.answer(0, b'', 500)

    def redirects(self):
        self.send_response(302)
        self.send_header('Location', self.server.elsewhere)
        self.end_headers()

    def log_message(self, *args):
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv('no_proxy', '*')
    servers = []

    def start(*plan, context=None):
        server = ThreadingHTTPServer(('127.0.0.1', 0), Handler)
        server.handle_error = lambda *args: None  # A client that goes away.
        server.plan, server.seen, server.stop = list(plan), [], threading.Event()
        if context is not None:
            server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        servers.append(server)
        server.url = f'http{"s" if context else ""}://127.0.0.1:{server.server_port}/x.txt'
        return server

    yield start
    for server in servers:
        server.stop.set()
        server.shutdown()
        server.server_close()


def fetch(server, path, **kwargs):
    download(server.url, path, **{'timeout': 0.3, 'retries': 2, 'wait': 0.01, **kwargs})


@pytest.mark.parametrize('behaviour, reason', [
    ('truncates', '150,000 bytes came, but the server announced 300,000'),
    ('announces_less', 'bytes came, but the server announced 150,000'),
    ('stalls', 'TimeoutError: .*timed out'),
    ('stalls_at_once', 'timed out'),
    ('resets', 'ConnectionResetError'),
    ('nonsense', 'BadStatusLine'),
    ('chunks', 'IncompleteRead'),
    ('announces_nothing', 'does not say how long the file is'),
    ('announces_nonsense', 'does not say how long the file is'),
    ('error_500', 'the server answers 500'),
])
def test_what_is_not_whole_is_fetched_again(server, tmp_path, behaviour, reason):
    path = tmp_path / 'x.txt'
    always = server(behaviour)
    with pytest.raises(ConnectionError, match=f"'{always.url}': .*{reason}.*after 3 attempt"):
        fetch(always, path)
    assert len(always.seen) == 3 and os.listdir(tmp_path) == []
    once = server(behaviour, 'whole')
    fetch(once, path)
    assert path.read_bytes() == CONTENT and os.listdir(tmp_path) == ['x.txt']
    assert len(once.seen) == 2


@pytest.mark.parametrize('behaviour', ['whole', 'whole_chunks', 'keeps_open'])
def test_what_is_whole(server, tmp_path, behaviour):
    fetch(server(behaviour), tmp_path / 'x.txt', retries=0)
    assert (tmp_path / 'x.txt').read_bytes() == CONTENT


def test_no_such_file_is_not_tried_again(server, tmp_path):
    gone = server('error_404', 'whole')
    with pytest.raises(ConnectionError, match='the server answers 404 Not Found, after 1 attempt'):
        fetch(gone, tmp_path / 'x.txt')
    assert len(gone.seen) == 1


def test_checksum(server, tmp_path):
    path = tmp_path / 'x.txt'
    with pytest.raises(ConnectionError, match=f'has the SHA-256 .*, but the .* has {SHA256}'):
        fetch(server('changed'), path, sha256=SHA256)
    assert os.listdir(tmp_path) == []
    for behaviour in ('announces_nothing', 'whole'):  # With it, no length is needed.
        fetch(server(behaviour), path, sha256=SHA256, retries=0)
        assert path.read_bytes() == CONTENT
    with pytest.raises(ConnectionError, match='but the'):
        fetch(server('changed'), path, sha256=SHA256)
    assert path.read_bytes() == CONTENT  # As it was.


def test_waits_are_doubled(server, tmp_path, monkeypatch):
    waits = []
    monkeypatch.setattr(module.time, 'sleep', waits.append)
    with pytest.raises(ConnectionError):
        fetch(server('error_500'), tmp_path / 'x.txt', retries=3, wait=1.)
    assert waits == [1, 2, 4]


def test_leftovers_are_not_trusted(server, tmp_path):
    for name in ('x.txt.part', f'x.txt.00000000.1.{"0" * 16}.tmp'):
        (tmp_path / name).write_bytes(CONTENT[:9])
        os.utime(tmp_path / name, (time.time() - 10**6,) * 2)
    fetch(server('whole'), tmp_path / 'x.txt')
    assert (tmp_path / 'x.txt').read_bytes() == CONTENT
    assert sorted(os.listdir(tmp_path)) == ['x.txt', 'x.txt.part']


def test_two_at_once(server, tmp_path):
    source, errors = server('whole'), []

    def run():
        try:
            fetch(source, tmp_path / 'x.txt', sha256=SHA256, timeout=5)
        except Exception as e:
            errors.append(e)

    threads = [threading.Thread(target=run) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == [] and os.listdir(tmp_path) == ['x.txt']
    assert (tmp_path / 'x.txt').read_bytes() == CONTENT


@pytest.mark.skipif(shutil.which('openssl') is None, reason='needs a certificate')
def test_certificates_are_verified(server, tmp_path, monkeypatch):
    key, certificate = tmp_path / 'key', tmp_path / 'certificate'
    subprocess.run(['openssl', 'req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-keyout', key,
                    '-out', certificate, '-days', '1', '-subj', '/CN=127.0.0.1', '-addext',
                    'subjectAltName=IP:127.0.0.1'], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    path = tmp_path / 'raw' / 'x.txt'
    encrypted, plain = server('whole', context=context), server('whole')
    with pytest.raises(ConnectionError, match='certificate.*after 1 attempt'):
        fetch(encrypted, path)
    assert encrypted.seen == []
    # One that is trusted is taken, but no redirection to what is not encrypted.
    monkeypatch.setenv('SSL_CERT_FILE', str(certificate))
    fetch(encrypted, path)
    assert path.read_bytes() == CONTENT
    encrypted.plan, encrypted.elsewhere = ['redirects'], plain.url
    with pytest.raises(ConnectionError, match='redirects to http://.*not encrypted'):
        fetch(encrypted, path)


def test_full_disk_ends_the_download(server, tmp_path, monkeypatch):
    def full(self, content):
        self.size += len(content)
        self.error = OSError(28, 'No space left on device')

    monkeypatch.setattr('pyg_advcf.files.Sink.write', full)
    source = server('whole')
    with pytest.raises(OSError, match="no space for '.*x.txt': it needs 300,000 bytes"):
        fetch(source, tmp_path / 'x.txt')
    assert len(source.seen) == 1 and os.listdir(tmp_path) == []
