r"""Files from the network that are whole and the right ones, or an error."""
import hashlib
import http.client
import ssl
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Optional

from tqdm import tqdm

from pyg_advcf.files import PathLike, replacing

_BLOCK = 2**18
# Besides server errors (5xx): the server asks to come back later.
_TRY_AGAIN = (408, 425, 429)


def download(
    url: str,
    path: PathLike,
    sha256: Optional[str] = None,
    timeout: float = 30.,
    retries: int = 3,
    wait: float = 1.,
) -> None:
    r"""Downloads ``url`` to ``path``, which appears once the content is whole and verified.

    Certificates are verified, and a redirection away from HTTPS is refused. The size is compared
    with ``Content-Length`` in both directions, the content with ``sha256``. Nothing of an earlier
    attempt is used, and processes that download the same file do not meet.

    Args:
        url: The address, ``https`` or ``http``.
        path: The file.
        sha256: The known SHA-256 of the content, in hexadecimal.
        timeout: Seconds to wait for the connection, and for every block.
        retries: How often a download that failed is tried again; not if the server says that there
            is no such file.
        wait: Seconds before the first of these, doubled for every further one.

    Raises:
        ConnectionError: If the last attempt fails; the message says why.
        OSError: As :func:`~pyg_advcf.files.replacing`.
    """
    for attempt in range(retries + 1):
        try:
            return _attempt(url, path, sha256, timeout)
        except urllib.error.HTTPError as e:
            e.close()
            reason, again = f'the server answers {e.code} {e.reason}', (
                e.code >= 500 or e.code in _TRY_AGAIN)
        except urllib.error.URLError as e:
            reason, again = str(e.reason), not isinstance(e.reason, ssl.SSLCertVerificationError)
        except (ConnectionError, TimeoutError, http.client.HTTPException, ssl.SSLError) as e:
            reason, again = f'{type(e).__name__}: {e}', True
        if not again or attempt == retries:
            raise ConnectionError(f"'{url}': {reason}, after {attempt + 1} attempt(s)")
        time.sleep(wait * 2**attempt)


def _attempt(url: str, path: PathLike, sha256: Optional[str], timeout: float) -> None:
    digest, received = hashlib.sha256(), 0
    with urllib.request.urlopen(url, timeout=timeout,
                                context=ssl.create_default_context()) as response:
        if url.startswith('https:') and not response.geturl().startswith('https:'):
            raise ConnectionError(f'it redirects to {response.geturl()}, which is not encrypted')
        expected = response.length
        if expected is None and not response.chunked and sha256 is None:
            raise ConnectionError('the server does not say how long the file is, so that a part '
                                  'of it cannot be told from the whole')
        # Read to the end of the connection, to notice what is longer than announced, too.
        response.length = None
        with replacing(path) as f, tqdm(total=expected, unit='B', unit_scale=True, delay=2,
                                        desc=Path(path).name, disable=None) as bar:
            while True:
                try:
                    block = response.read1(_BLOCK)
                except TimeoutError:
                    if received != expected:
                        raise
                    block = b''  # All is there; the server only keeps the connection open.
                if not block:
                    break
                received += len(block)
                digest.update(block)
                f.write(block)
                bar.update(len(block))
                if f.error is not None:
                    f.size = max(expected or 0, received)
                    raise f.error
                if expected is not None and received > expected:
                    break
            if expected is not None and received != expected:
                raise ConnectionError(f'{received:,} bytes came, but the server announced '
                                      f'{expected:,}')
            if sha256 is not None and digest.hexdigest() != sha256:
                raise ConnectionError(f'the content has the SHA-256 {digest.hexdigest()}, but the '
                                      f'published file has {sha256}')
