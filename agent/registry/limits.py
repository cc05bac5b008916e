"""How much is taken from a registry.  Whatever is longer, larger or more than this is refused, never cut.

Every limit is here so that a reviewer finds all of them; who applies one imports it by name.
"""

MAX_MANIFEST_SIZE = 4 * 1024 * 1024
"""Largest manifest or index, in bytes: what registries accept (distribution specification, "Pushing Manifests")."""

MAX_PAGE_SIZE = 4 * 1024 * 1024
"""Largest page of a referrers list, in bytes: a page is an index, and an index is a manifest."""

MAX_PAGES = 16
"""Most pages of one referrers list."""

MAX_DESCRIPTORS = 1000
"""Most entries of one referrers list, good, bad and repeated ones counted alike."""

MAX_TOKEN_ANSWER = 64 * 1024
"""Largest answer of a token server, in bytes; real ones have 1 to 6 KiB."""

MAX_TOKEN_LENGTH = 16 * 1024
"""Longest token, in characters: it travels in one header, and servers take 8 to 16 KiB of that."""

DEFAULT_TOKEN_SECONDS = 60.0
"""How long a token lasts that does not say so (distribution's token authentication, `expires_in`)."""

MAX_TOKEN_SECONDS = 24 * 3600.0
"""How long a token is used at most, whatever it says."""

MAX_SCOPES = 5
"""Most scopes of one token request: the repository's own, and what a registry asks for beyond it."""

MAX_SCOPE_LENGTH = 320
"""Longest scope that is taken from a challenge, in characters: 255 of repository, the words around it, and room."""

MAX_CREDENTIALS_TRIED = 3
"""Most credentials tried for one request; each costs a token and a request."""

MAX_CREDENTIALS_FILE = 1024 * 1024
"""Largest docker configuration, in bytes; real ones have a few KiB, a Secret of Kubernetes at most 1 MiB."""

MAX_CREDENTIALS_ENTRIES = 1000
"""Most entries of one table in a docker configuration."""

MAX_USER_LENGTH = 1024
"""Longest user name, in characters."""

MAX_CHALLENGE_LENGTH = 8 * 1024
"""Longest WWW-Authenticate of one response, all its lines together, in characters."""

MAX_CHALLENGES = 8
"""Most challenges of one response."""

MAX_CHALLENGE_PARAMETERS = 16
"""Most parameters of one challenge; Bearer defines six."""

MAX_REDIRECTS = 5
"""Most redirects of one request."""

MAX_URL_LENGTH = 8 * 1024
"""Longest URL that a registry may name, in characters; signed ones of object stores have up to 2 KiB."""

MAX_ERROR_BODY = 8 * 1024
"""Bytes read of a response that is not 200.  Only here is more simply left unread: nothing rests on it."""
