"""One HTTP exchange, from inside a node's network: `python exchange.py METHOD URL [HEADER:VALUE...] < body > body`.

Prints the status to standard error.  Standard library only.
"""

import http.client
import sys
import urllib.parse


def main(method: str, url: str, headers: dict[str, str]) -> None:
    """Send standard input, print what comes back."""
    parts = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=30)
    target = parts.path + (f"?{parts.query}" if parts.query else "")
    connection.request(method, target, body=sys.stdin.buffer.read() or None, headers=headers)
    response = connection.getresponse()
    sys.stderr.write(f"{response.status} {response.getheader('Location') or ''}")
    sys.stdout.buffer.write(response.read())


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], dict(header.split(":", 1) for header in sys.argv[3:]))
