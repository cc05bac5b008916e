"""Puts many bundles before the Python package `sigstore`, which the tests' own environment does not have.

`python -I -S sigstore_opinion.py PACKAGES`: standard input holds `[{"name", "bundle", "root", "subject", "issuer",
"artifact"}]`, of which bundle and trusted root are texts, and the artifact is base64 of what a message's signature is
about; standard output gets `{"version", "opinions": {name: [word, reason]}}`.  The word is `accepts`; `refuses`, for an
error that the package has for that; or `fails`, for any other.
"""

import base64
import json
import sys
import tempfile


def main() -> None:
    """Ask about every case."""
    import sigstore

    opinions = {case["name"]: opinion(case) for case in json.load(sys.stdin)}
    json.dump({"version": sigstore.__version__, "opinions": opinions}, sys.stdout)


def opinion(case: dict[str, str]) -> tuple[str, str]:
    """What is said of one bundle, offline."""
    from sigstore.errors import Error

    try:
        verify(case)
    except Error as error:
        return "refuses", str(error)
    except Exception as error:  # noqa: BLE001 - whatever it stumbles over is no acceptance
        return "fails", f"{type(error).__name__}: {error}"
    return "accepts", ""


def verify(case: dict[str, str]) -> None:
    """As its public interface does, which does not look at what a statement says.  Raises whatever it raises."""
    from sigstore.models import Bundle, TrustedRoot
    from sigstore.verify import Verifier, policy

    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        file.write(case["root"])
        file.flush()
        verifier = Verifier(trusted_root=TrustedRoot.from_file(file.name))
    bundle = Bundle.from_json(case["bundle"])
    signer = policy.Identity(identity=case["subject"], issuer=case["issuer"])
    if "messageSignature" in json.loads(case["bundle"]):
        verifier.verify_artifact(base64.b64decode(case["artifact"]), bundle, signer)
    else:
        verifier.verify_dsse(bundle, signer)


if __name__ == "__main__":
    sys.path.append(sys.argv[1])
    main()
