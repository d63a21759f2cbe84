"""Erasure by destroying a key: what the log keeps of a person is sealed with a key of their own.

The log is append-only and chained, so nothing can be taken out of it. What a
decision says of a person is therefore encrypted (AES-256-GCM) with a random key
that belongs to that person alone, and the chain runs over the ciphertext. The
keys lie in a store of their own, each wrapped by a master key. Destroying a
person's keys makes every entry about them, in every copy of the log, unreadable
at once; the chain still verifies, since no byte of it changed.

A key's id is random, so a log alone names nobody. Only the store, with its
master key, can tell whether a given person has keys there.
"""

from serinus.privacy.master import MasterKey
from serinus.privacy.opening import FoundKeys, find_keys, open_store, store_path
from serinus.privacy.seal import Keys, NoKeys, Seal, SubjectKey, Withheld
from serinus.privacy.store import KeyStore

__all__ = [
    "FoundKeys",
    "KeyStore",
    "Keys",
    "MasterKey",
    "NoKeys",
    "Seal",
    "SubjectKey",
    "Withheld",
    "find_keys",
    "open_store",
    "store_path",
]
