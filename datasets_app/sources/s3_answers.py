"""What botocore reads whole into memory, within bounds: an endpoint that a user gave may send what it likes."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from botocore.exceptions import HTTPClientError
from urllib3 import exceptions

if TYPE_CHECKING:
    from botocore.awsrequest import AWSPreparedRequest, AWSResponse
    from botocore.httpsession import URLLib3Session
    from urllib3 import HTTPResponse

# A page of a thousand objects with the longest names.
ANSWER_BYTES: Final = 16 << 20
# A page takes a second or so.
ANSWER_SECONDS: Final = 120.0
PIECE_BYTES: Final = 65536
FIRST_ERROR: Final = 300
# Where botocore keeps what it has read: then it does not read again.
KEPT: Final = "_content"


class LargeAnswerError(HTTPClientError):
    """More came than any answer of S3 holds."""

    fmt = "the answer is too large"


class SlowAnswerError(HTTPClientError):
    """It trickles: botocore minds silence only."""

    fmt = "the answer comes too slowly"


class BoundedSession:
    """Stands for botocore's HTTP session. Objects stay streams, for whoever asked for them; all else is read here."""

    def __init__(self, session: URLLib3Session) -> None:
        self._session = session

    def send(self, request: AWSPreparedRequest) -> AWSResponse:
        """Send a request. Raises botocore's errors, also where fewer bytes come than were promised."""
        is_stream = request.stream_output
        request.stream_output = True
        answer = self._session.send(request)
        if not is_stream or answer.status_code >= FIRST_ERROR:
            setattr(answer, KEPT, _read(answer, has_body=request.method != "HEAD"))
        return answer

    def close(self) -> None:
        """Close the connections."""
        self._session.close()


def _read(answer: AWSResponse, *, has_body: bool) -> bytes:
    raw: HTTPResponse = answer.raw
    end = time.monotonic() + ANSWER_SECONDS
    data = bytearray()
    try:
        while piece := raw.read1(PIECE_BYTES):
            data += piece
            if len(data) > ANSWER_BYTES:
                raise LargeAnswerError
            if time.monotonic() > end:
                raise SlowAnswerError
        promised = answer.headers.get("content-length", "")
        if has_body and promised.isdecimal() and len(data) < int(promised):
            raise exceptions.IncompleteRead(len(data), int(promised) - len(data))
    except HTTPClientError:
        raw.close()
        raise
    except (exceptions.HTTPError, OSError) as error:
        raw.close()
        raise HTTPClientError(error=error) from error
    return bytes(data)
