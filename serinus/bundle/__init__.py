"""The immutable model artefact: a directory named by the digest of all it holds."""

from serinus.bundle.keyring import Keyring
from serinus.bundle.keys import Signature, SigningKey
from serinus.bundle.manifest import Manifest
from serinus.bundle.read import Bundle, open_bundle
from serinus.bundle.reference import Histogram, Reference, build_reference
from serinus.bundle.transfer import Fetched, Pushed, fetch_bundle, push_bundle
from serinus.bundle.write import BundleParts, directory_name, write_bundle

__all__ = [
    "Bundle",
    "BundleParts",
    "Fetched",
    "Histogram",
    "Keyring",
    "Manifest",
    "Pushed",
    "Reference",
    "Signature",
    "SigningKey",
    "build_reference",
    "directory_name",
    "fetch_bundle",
    "open_bundle",
    "push_bundle",
    "write_bundle",
]
