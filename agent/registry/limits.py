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
