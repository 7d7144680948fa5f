"""Opens blobs and stores of libkms, written from docs/blob-format.md and docs/store-format.md alone.

It shares no code with the library: BLAKE2b is hashlib's, HChaCha20 stands here, the two AEADs are
python3-cryptography's.
"""

import hashlib
import struct

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305


class Refused(Exception):
    """The status that a reader answers, and why."""

    def __init__(self, status, why=''):
        super().__init__(f'{status}: {why}')
        self.status = status


# --- Primitives ----------------------------------------------------------------------------------

def _rotate(value, bits):
    return (value << bits | value >> (32 - bits)) & 0xffffffff


def _quarter_round(s, a, b, c, d):
    s[a] = (s[a] + s[b]) & 0xffffffff
    s[d] = _rotate(s[d] ^ s[a], 16)
    s[c] = (s[c] + s[d]) & 0xffffffff
    s[b] = _rotate(s[b] ^ s[c], 12)
    s[a] = (s[a] + s[b]) & 0xffffffff
    s[d] = _rotate(s[d] ^ s[a], 8)
    s[c] = (s[c] + s[d]) & 0xffffffff
    s[b] = _rotate(s[b] ^ s[c], 7)


def hchacha20(key, data):
    s = list(struct.unpack('<16I', b'expand 32-byte k' + key + data))
    for _ in range(10):
        for i in range(4):
            _quarter_round(s, i, 4 + i, 8 + i, 12 + i)
        for i in range(4):
            _quarter_round(s, i, 4 + (i + 1) % 4, 8 + (i + 2) % 4, 12 + (i + 3) % 4)
    return struct.pack('<8I', *s[0:4], *s[12:16])


def derive(person, key, salt, number):
    return hashlib.blake2b(struct.pack('>I', number), digest_size=32, key=key, salt=salt,
                           person=person).digest()


def prf(key, number, a, b, size):
    """A value that follows from a message of two parts."""
    message = b''.join([struct.pack('>I', number), struct.pack('>Q', len(a)), a,
                        struct.pack('>Q', len(b)), b])
    return hashlib.blake2b(message, digest_size=size, key=key).digest()


def open_xchacha(key, nonce, associated, sealed, status):
    subkey = hchacha20(key, nonce[:16])
    try:
        return ChaCha20Poly1305(subkey).decrypt(bytes(4) + nonce[16:], sealed, associated)
    except InvalidTag:
        raise Refused(status, 'not authentic') from None


def message_key_of(suite_key, nonce):
    return hchacha20(suite_key, nonce[:12] + bytes(4))


def open_aes(key, nonce, associated, sealed, status):
    try:
        return AESGCM(message_key_of(key, nonce)).decrypt(nonce[12:], sealed, associated)
    except InvalidTag:
        raise Refused(status, 'not authentic') from None


# --- Blobs ---------------------------------------------------------------------------------------

BLOB_HEADER = 82
BLOB_OVERHEAD = 98
SUITES = {1: (b'libkms suite 1', open_xchacha), 2: (b'libkms suite 2', open_aes)}


def canonical_context(pairs):
    """pairs: a list of (key, value), bytes."""
    keys = [key for key, _ in pairs]
    if len(set(keys)) != len(keys) or b'' in keys or any(b'\0' in k + v for k, v in pairs):
        raise Refused('INVALID_ARGUMENT', 'context')
    out = b''.join(struct.pack('>H', len(k)) + k + struct.pack('>H', len(v)) + v
                   for k, v in sorted(pairs))
    if len(out) > 8192:
        raise Refused('INVALID_ARGUMENT', 'context')
    return out


def suite_key_of(suite, material, key_id, version):
    return derive(SUITES[suite][0], material, key_id, version)


def commitment_of(material, key_id, version):
    return derive(b'libkms commit', material, key_id, version)


def read_blob(blob):
    """What a blob says of itself: (suite, kind, key id, version, commitment, nonce)."""
    if len(blob) < 4 or blob[:3] != b'KMS':
        raise Refused('INVALID_CIPHERTEXT', 'no blob')
    if blob[3] > 1:
        raise Refused('NEWER_FORMAT', str(blob[3]))
    if blob[3] != 1 or len(blob) < BLOB_OVERHEAD:
        raise Refused('INVALID_CIPHERTEXT', 'no blob')
    suite, kind, key_id, version, commitment, nonce = struct.unpack('>BB16sI32s24s', blob[4:82])
    if suite not in SUITES or not 1 <= kind <= 4 or version == 0:
        raise Refused('INVALID_CIPHERTEXT', 'field')
    return suite, kind, key_id, version, commitment, nonce


def nonce_key_of(material, key_id, version):
    return derive(b'libkms nonce', material, key_id, version)


def base_of(material, key_id, version):
    return derive(b'libkms base', material, key_id, version)


def derived_key(material, key_id, version, pairs, size):
    use_key = derive(b'libkms derive', base_of(material, key_id, version), key_id, version)
    return prf(use_key, size, canonical_context(pairs), b'', size)


def blind_index(material, key_id, label, value, bits):
    use_key = derive(b'libkms index', base_of(material, key_id, 1), key_id, 1)
    whole = int.from_bytes(prf(use_key, bits, label, value, 32), 'big')
    size = (bits + 7) // 8
    return (whole >> (256 - bits) << (8 * size - bits)).to_bytes(size, 'big')


def open_sealed(blob, context, material):
    suite, _, key_id, version, _, nonce = read_blob(blob)
    return SUITES[suite][1](suite_key_of(suite, material, key_id, version), nonce,
                            blob[:BLOB_HEADER] + context, blob[BLOB_HEADER:],
                            'INVALID_CIPHERTEXT')


def open_blob(blob, pairs, find_version, expected_key_id=None):
    """find_version(key id, version) gives (material, suite, usage), or raises Refused."""
    context = canonical_context(pairs)
    suite, kind, key_id, version, commitment, nonce = read_blob(blob)
    if expected_key_id is not None and expected_key_id != key_id:
        raise Refused('INCORRECT_KEY')
    material, wanted_suite, usage = find_version(key_id, version)
    if (kind == 4) != (usage == 2):
        raise Refused('INVALID_CIPHERTEXT', 'usage')
    if kind == 3 or suite != wanted_suite or commitment != commitment_of(material, key_id, version):
        raise Refused('INVALID_CIPHERTEXT', 'kind, suite or commitment')
    plain = open_sealed(blob, context, material)
    if kind == 4 and prf(nonce_key_of(material, key_id, version), 24, context, plain, 24) != nonce:
        raise Refused('INVALID_CIPHERTEXT', 'another nonce')
    return plain


# --- Stores --------------------------------------------------------------------------------------

class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, count):
        if self.at + count > len(self.data):
            raise Refused('CORRUPT', 'cut')
        self.at += count
        return self.data[self.at - count:self.at]

    def number(self, size, signed=False):
        return int.from_bytes(self.take(size), 'big', signed=signed)

    def end(self):
        if self.at < len(self.data):
            raise Refused('NEWER_FORMAT', 'longer than this reader knows')


def read_lmdb(path):
    """The records of an LMDB store: a dictionary of bytes."""
    import lmdb
    with lmdb.open(path, subdir=False, readonly=True, lock=False) as env:
        with env.begin() as txn:
            return {bytes(key): bytes(value) for key, value in txn.cursor()}


def argon2id(passphrase, salt, passes, memory_kib):
    from argon2.low_level import Type, hash_secret_raw
    return hash_secret_raw(passphrase, salt, passes, memory_kib, 1, 32, Type.ID, 0x13)


def raw_root(root_key):
    def unlock(parameters):
        if parameters:
            raise Refused('CORRUPT', 'parameters')
        return root_key
    return b'raw', unlock


def passphrase_root(passphrase):
    def unlock(parameters):
        r = Reader(parameters)
        if r.number(1) > 1:
            raise Refused('NEWER_FORMAT', 'passphrase')
        passes, memory, salt = r.number(4), r.number(4), r.take(16)
        if r.at != len(parameters) or not 1 <= passes <= 16 or not 8 <= memory <= 2097152:
            raise Refused('CORRUPT', 'parameters')
        return argon2id(passphrase, salt, passes, memory)
    return b'passphrase', unlock


def unlock_boot(boot, root):
    """Gives (store id, generation, store key, values on the way)."""
    name, unlock = root
    r = Reader(boot)
    if boot[:4] != b'KMSS':
        raise Refused('NOT_A_STORE')
    r.take(4)
    form = r.number(1)
    if form != 1:
        raise Refused('NEWER_FORMAT' if form > 1 else 'CORRUPT', 'boot')
    store_id, generation, slots = r.take(16), r.number(4), r.number(1)
    if not 1 <= slots <= 16:
        raise Refused('CORRUPT', 'slots')
    for _ in range(slots):
        begin = r.at
        number = r.number(1)
        slot_name = r.take(r.number(1))
        parameters = r.take(r.number(2))
        start = boot[begin:r.at]
        check, nonce, wrapped = r.take(32), r.take(24), r.take(48)
        if slot_name != name:
            continue
        root_key = unlock(parameters)
        if derive(b'libkms rootchck', root_key, store_id, number) != check:
            continue
        wrap_key = derive(b'libkms rootwrap', root_key, store_id, number)
        associated = store_id + bytes([1]) + struct.pack('>I', generation) + start
        store_key = open_xchacha(wrap_key, nonce, associated, wrapped, 'CORRUPT')
        return store_id, generation, store_key, {'root-key': root_key, 'check': check,
                                                 'wrap-key': wrap_key}
    raise Refused('WRONG_ROOT_KEY')


def mark_of(value):
    return value[5:29] + value[-16:]


class Store:
    """A store that was read whole, opened and checked."""

    def __init__(self, records, root):
        if b'B' not in records:
            raise Refused('NOT_A_STORE')
        self.records = records
        self.boot = records[b'B']
        self.id, self.generation, self.store_key, self.unlocking = unlock_boot(self.boot, root)
        self.records_key = derive(b'libkms records', self.store_key, self.id, self.generation)
        self.keys, self.aliases, self.material, self.index = {}, {}, {}, set()
        self._read_header()
        for key in sorted(records):
            self._read(key)
        self._check()

    def plain(self, key):
        r = Reader(self.records[key])
        form, generation, nonce = r.number(1), r.number(4), r.take(24)
        if form > 1:
            raise Refused('NEWER_FORMAT', 'record')
        if form != 1 or generation != self.generation:
            raise Refused('CORRUPT', 'record')
        associated = self.id + bytes([form]) + struct.pack('>I', generation) + key
        return open_xchacha(self.records_key, nonce, associated, r.data[r.at:], 'CORRUPT')

    def _body(self, key):
        r = Reader(self.plain(key))
        form = r.number(1)
        if form != 1:
            raise Refused('NEWER_FORMAT' if form > 1 else 'CORRUPT', 'body')
        return r

    def _read_header(self):
        if b'H' not in self.records:
            raise Refused('CORRUPT', 'no header')
        r = self._body(b'H')
        self.changes = r.number(8)
        self.set_key, self.set_hash = r.take(32), r.take(32)
        self.record_count = r.number(8)
        self.boot_hash = r.take(32)
        self.operations = [r.take(16) for _ in range(32)]
        r.end()

    def _read(self, key):
        kinds = {b'A': self._read_alias, b'I': self._read_index, b'K': self._read_key,
                 b'V': self._read_version}
        if key in (b'B', b'H'):
            return
        if key[:1] not in kinds:
            raise Refused('CORRUPT', 'a record of no known kind')
        r = self._body(key)
        kinds[key[:1]](key[1:], r)
        r.end()

    def _read_alias(self, name, r):
        target, moved, before = r.take(16), r.number(1), r.take(16)
        self.aliases[name.decode()] = {'key-id': target, 'previous-key-id': before if moved else None,
                                       'created-ms': r.number(8, True),
                                       'moved-ms': r.number(8, True)}

    def _read_index(self, rest, _):
        self.index.add((rest[:16], rest[16:].decode()))

    def _read_key(self, key_id, r):
        if len(key_id) != 16:
            raise Refused('CORRUPT', 'key id')
        key = dict(zip(('spec', 'usage', 'origin', 'state'), r.take(4)))
        key['created-ms'] = r.number(8, True)
        key['primary-version'], count = r.number(4), r.number(4)
        if count > 1500 or key['primary-version'] > count:
            raise Refused('CORRUPT', 'versions')
        key['versions'] = [{'state': r.number(1), 'suite': r.number(1),
                            'created-ms': r.number(8, True), 'commitment': r.take(32)}
                           for _ in range(count)]
        self.keys[key_id] = key

    def _read_version(self, rest, r):
        self.material[rest[:16], int.from_bytes(rest[16:], 'big')] = r.take(32)

    def _check(self):
        expected = {(a['key-id'], name) for name, a in self.aliases.items()}
        versions = {(key_id, n + 1) for key_id, key in self.keys.items()
                    for n in range(len(key['versions']))}
        if expected != self.index or any(key_id not in self.keys for key_id, _ in expected):
            raise Refused('CORRUPT', 'aliases and index')
        if versions != set(self.material):
            raise Refused('CORRUPT', 'keys and versions')
        for (key_id, number), material in self.material.items():
            if (commitment_of(material, key_id, number)
                    != self.keys[key_id]['versions'][number - 1]['commitment']):
                raise Refused('CORRUPT', 'commitment')
        self._check_header()

    def set_member(self, key):
        return hashlib.blake2b(struct.pack('>H', len(key)) + key + mark_of(self.records[key]),
                               digest_size=32, key=self.set_key).digest()

    def _check_header(self):
        members = [key for key in self.records if key not in (b'B', b'H')]
        total = 0
        for key in members:
            total ^= int.from_bytes(self.set_member(key), 'big')
        if len(members) != self.record_count or total.to_bytes(32, 'big') != self.set_hash:
            raise Refused('CORRUPT', 'set of records')
        if hashlib.blake2b(self.boot, digest_size=32).digest() != self.boot_hash:
            raise Refused('CORRUPT', 'boot record')

    def find_version(self, key_id, number):
        if key_id not in self.keys:
            raise Refused('KEY_NOT_FOUND')
        key = self.keys[key_id]
        states = {2: 'DISABLED', 3: 'PENDING_DELETION', 4: 'PENDING_IMPORT'}
        if key['state'] in states:
            raise Refused(states[key['state']])
        if not 1 <= number <= len(key['versions']):
            raise Refused('INVALID_CIPHERTEXT', 'version')
        version = key['versions'][number - 1]
        if version['state'] != 1:
            raise Refused('DISABLED', 'version')
        return self.material[key_id, number], version['suite'], key['usage']

    def open_blob(self, blob, pairs, expected_key_id=None):
        return open_blob(blob, pairs, self.find_version, expected_key_id)
