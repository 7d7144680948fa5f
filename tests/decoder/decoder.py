"""Opens blobs, streams and stores of libkms, written from docs/blob-format.md, docs/stream-format.md and
docs/store-format.md alone.

It shares no code with the library: BLAKE2b is hashlib's, HChaCha20 stands here, the two AEADs are
python3-cryptography's.
"""

import hashlib
import struct
import time

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat


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


def open_blob(blob, pairs, find_version, expected_key_id=None, kinds=(1, 2, 4)):
    """find_version(key id, version) gives (material, suite, usage), or raises Refused."""
    context = canonical_context(pairs)
    suite, kind, key_id, version, commitment, nonce = read_blob(blob)
    if expected_key_id is not None and expected_key_id != key_id:
        raise Refused('INCORRECT_KEY')
    material, wanted_suite, usage = find_version(key_id, version)
    if (kind == 4) != (usage == 2):
        raise Refused('INVALID_CIPHERTEXT', 'usage')
    if kind not in kinds or suite != wanted_suite or commitment != commitment_of(material, key_id, version):
        raise Refused('INVALID_CIPHERTEXT', 'kind, suite or commitment')
    plain = open_sealed(blob, context, material)
    if kind == 4 and prf(nonce_key_of(material, key_id, version), 24, context, plain, 24) != nonce:
        raise Refused('INVALID_CIPHERTEXT', 'another nonce')
    return plain


# --- Streams -------------------------------------------------------------------------------------

SLOT = 4096
STREAM_HEADER = 2 * SLOT
CHUNK = 65536
CHUNK_OVERHEAD = 32
STREAM_PLAINTEXT_MAX = 1 << 62


def read_slot(slot):
    """(format, sequence, commitment, blob, whether the rest is zeros) of a whole slot; else None."""
    if slot[:8] != b'kmstream' or hashlib.blake2b(slot[:4064], digest_size=32).digest() != slot[4064:]:
        return None
    return (slot[8], int.from_bytes(slot[9:17], 'big'), slot[17:49], slot[49:180],
            not any(slot[180:4064]))


def slot_that_counts(header):
    """(sequence, commitment, blob)"""
    if len(header) < STREAM_HEADER:
        raise Refused('INVALID_CIPHERTEXT', 'no header')
    slots = [slot for slot in (read_slot(header[:SLOT]), read_slot(header[SLOT:])) if slot]
    mine = [slot for slot in slots if slot[0] == 1 and slot[4]]
    if mine:
        return max(mine, key=lambda slot: slot[1])[1:4]
    if any(slot[0] > 1 for slot in slots):
        raise Refused('NEWER_FORMAT', 'stream')
    raise Refused('INVALID_CIPHERTEXT', 'neither slot is whole')


def stream_commitment_of(stream_key):
    return derive(b'libkms strmcmt', stream_key, bytes(16), CHUNK)


def chunk_key_of(suite, stream_key):
    return derive(b'libkms stream %d' % suite, stream_key, bytes(16), CHUNK)


def chunk_nonce(index, last, salt):
    return struct.pack('>Q', 2 * index + last) + salt


def open_stream_header(header, pairs, find_version):
    """(suite of the chunks, stream key)"""
    canonical_context(pairs)
    _, commitment, blob = slot_that_counts(header)
    secret = open_blob(blob, pairs, find_version, kinds=(3,))
    suite, stream_key = secret[0], secret[1:]
    if commitment != stream_commitment_of(stream_key) or suite not in SUITES:
        raise Refused('INVALID_CIPHERTEXT', 'commitment or suite')
    return suite, stream_key


def open_chunk(suite, chunk_key, index, sealed):
    """Whether it is the last one shows by its size."""
    if not CHUNK_OVERHEAD <= len(sealed) <= CHUNK + CHUNK_OVERHEAD:
        raise Refused('INVALID_CIPHERTEXT', 'cut')
    last = len(sealed) < CHUNK + CHUNK_OVERHEAD
    return SUITES[suite][1](chunk_key, chunk_nonce(index, last, sealed[:16]), b'', sealed[16:],
                            'INVALID_CIPHERTEXT')


def open_stream(stream, pairs, find_version):
    suite, stream_key = open_stream_header(stream[:STREAM_HEADER], pairs, find_version)
    chunk_key = chunk_key_of(suite, stream_key)
    whole = CHUNK + CHUNK_OVERHEAD
    chunks = (len(stream) - STREAM_HEADER) // whole
    out = [open_chunk(suite, chunk_key, i, stream[STREAM_HEADER + i * whole:][:whole])
           for i in range(chunks + 1)]
    return b''.join(out)


# The same page followed the other way: streams of chosen nonces and salts.

def seal(suite, key, nonce, associated, plain):
    if suite == 1:
        return ChaCha20Poly1305(hchacha20(key, nonce[:16])).encrypt(bytes(4) + nonce[16:], plain,
                                                                    associated)
    return AESGCM(message_key_of(key, nonce)).encrypt(nonce[12:], plain, associated)


def make_stream_blob(suite, stream_key, pairs, key_suite, material, key_id, version, nonce):
    header = struct.pack('>3sBBB16sI32s24s', b'KMS', 1, key_suite, 3, key_id, version,
                         commitment_of(material, key_id, version), nonce)
    return header + seal(key_suite, suite_key_of(key_suite, material, key_id, version), nonce,
                         header + canonical_context(pairs), bytes([suite]) + stream_key)


def make_slot(sequence, stream_key, blob):
    slot = struct.pack('>8sBQ32s131s', b'kmstream', 1, sequence, stream_commitment_of(stream_key),
                       blob).ljust(4064, b'\0')
    return slot + hashlib.blake2b(slot, digest_size=32).digest()


def make_chunks(suite, stream_key, salts, plain):
    key, count = chunk_key_of(suite, stream_key), len(plain) // CHUNK + 1
    return b''.join(salt + seal(suite, key, chunk_nonce(i, i + 1 == count, salt), b'',
                                plain[i * CHUNK:][:CHUNK])
                    for i, salt in ((i, salts[16 * i:][:16]) for i in range(count)))


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


# Of the key record's flags.
DELETION_PROTECTED, PURGING, ROTATION_ENABLED = 1, 2, 4
DAY_MS = 24 * 3600 * 1000


def newer(condition, why):
    if not condition:
        raise Refused('NEWER_FORMAT', why)


class Store:
    """A store that was read whole, opened and checked. now_ms: what its clock shows."""

    def __init__(self, records, root, now_ms=None):
        if b'B' not in records:
            raise Refused('NOT_A_STORE')
        self.records = records
        self.now_ms = int(time.time() * 1000) if now_ms is None else now_ms
        self.boot = records[b'B']
        self.id, self.generation, self.store_key, self.unlocking = unlock_boot(self.boot, root)
        self.records_key = derive(b'libkms records', self.store_key, self.id, self.generation)
        self.keys, self.aliases, self.versions, self.index = {}, {}, {}, set()
        self.descriptions, self.tags, self.uses = {}, {}, {}
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

    def _body(self, key, highest):
        """A reader behind the body format, and that."""
        r = Reader(self.plain(key))
        form = r.number(1)
        newer(form <= highest, 'body')
        if form == 0:
            raise Refused('CORRUPT', 'body')
        return r, form

    def _read_header(self):
        if b'H' not in self.records:
            raise Refused('CORRUPT', 'no header')
        r, self.header_body = self._body(b'H', 2)
        self.changes = r.number(8)
        self.set_key, self.set_hash = r.take(32), r.take(32)
        self.record_count = r.number(8)
        self.boot_hash = r.take(32)
        self.operations = [r.take(16) for _ in range(32)]
        r.end()

    def _read(self, key):
        kinds = {b'A': (self._read_alias, 1), b'D': (self._read_description, 1),
                 b'I': (self._read_index, 1), b'K': (self._read_key, 2),
                 b'T': (self._read_tags, 1), b'U': (self._read_uses, 1),
                 b'V': (self._read_version, 2)}
        if key in (b'B', b'H'):
            return
        if key[:1] not in kinds or self.header_body == 1 and key[:1] in b'DTU':
            raise Refused('CORRUPT', 'a record of no known kind')
        read, highest = kinds[key[:1]]
        if key[:1] in b'DKTU' and len(key) != 17:
            raise Refused('CORRUPT', 'key id')
        r, body = self._body(key, highest)
        try:
            read(key[1:], r, body)
            r.end()
        except Refused as refused:
            newer(key[:1] not in b'DTU', 'a record of a later release')
            raise refused

    def _read_alias(self, name, r, _):
        target, moved, before = r.take(16), r.number(1), r.take(16)
        self.aliases[name.decode()] = {'key-id': target, 'previous-key-id': before if moved else None,
                                       'created-ms': r.number(8, True),
                                       'moved-ms': r.number(8, True)}

    def _read_index(self, rest, _r, _body):
        self.index.add((rest[:16], rest[16:].decode()))

    def _read_key(self, key_id, r, body):
        if body == 1:
            key = dict(zip(('spec', 'usage', 'origin', 'state'), r.take(4)))
            key.update({'creator': 1, 'flags': 0, 'created-ms': r.number(8, True)})
            key.update(dict.fromkeys(('deletion-ms', 'material-expires-ms', 'rotation-days',
                                      'rotation-start', 'last-rotation-ms', 'rotation-stamp',
                                      'minimum-version', 'version-window'), 0))
        else:
            key = dict(zip(('spec', 'usage', 'origin', 'creator', 'state', 'flags'), r.take(6)))
            for field in ('created-ms', 'deletion-ms', 'material-expires-ms'):
                key[field] = r.number(8, True)
            key['rotation-days'] = r.number(2)
            for field in ('rotation-start', 'last-rotation-ms', 'rotation-stamp'):
                key[field] = r.number(8, True)
            key['minimum-version'], key['version-window'] = r.number(4), r.number(4)
        key['primary-version'], count = r.number(4), r.number(4)
        newer(key['spec'] == key['usage'] == 1 and key['origin'] in (1, 2)
              and key['creator'] in (1, 2) and key['state'] in (1, 2) and key['flags'] < 8, 'key')
        if not (1 <= key['primary-version'] <= count or key['primary-version'] == count == 0) \
                or count > 1500:
            raise Refused('CORRUPT', 'versions')
        key['versions'] = [self._read_version_in_key(r, body) for _ in range(count)]
        self.keys[key_id] = key

    @staticmethod
    def _read_version_in_key(r, body):
        state = r.number(1)
        material = r.number(1) if body > 1 else 1
        return {'state': state, 'has-material': material != 0, 'suite': r.number(1),
                'created-ms': r.number(8, True), 'commitment': r.take(32)}

    def _read_version(self, rest, r, body):
        if len(rest) != 20:
            raise Refused('CORRUPT', 'version number')
        version = {'source': 1, 'state-before': 0, 'expires-ms': 0, 'destroy-ms': 0}
        if body > 1:
            version = {'source': r.number(1), 'state-before': r.number(1),
                       'expires-ms': r.number(8, True), 'destroy-ms': r.number(8, True)}
        version['material'] = r.take(32)
        self.versions[rest[:16], int.from_bytes(rest[16:], 'big')] = version

    def _read_description(self, key_id, r, _):
        text = r.take(len(r.data) - r.at)
        newer(1 <= len(text) <= 8192 and b'\0' not in text, 'description')
        self.descriptions[key_id] = text

    def _read_tags(self, key_id, r, _):
        count = r.number(1)
        tags = [(r.take(r.number(1)), r.take(r.number(2))) for _ in range(count)]
        names = [name for name, _ in tags]
        newer(1 <= count <= 20 and names == sorted(set(names)), 'tags')
        newer(all(1 <= len(name) <= 128 and len(value) <= 256 and b'\0' not in name + value
                  for name, value in tags), 'tags')
        self.tags[key_id] = tags

    def _read_uses(self, key_id, r, _):
        count = r.number(4)
        newer(count <= 1500, 'last uses')
        self.uses[key_id] = [(r.number(8, True), r.number(8, True)) for _ in range(count)]

    def _check(self):
        expected = {(a['key-id'], name) for name, a in self.aliases.items()}
        if expected != self.index or any(key_id not in self.keys for key_id, _ in expected):
            raise Refused('CORRUPT', 'aliases and index')
        for attributes in (self.descriptions, self.tags, self.uses):
            if not set(attributes) <= set(self.keys):
                raise Refused('CORRUPT', 'a record of a key that is not there')
        known = {(key_id, n + 1) for key_id, key in self.keys.items()
                 for n in range(len(key['versions']))}
        if not set(self.versions) <= known:
            raise Refused('CORRUPT', 'versions of no key')
        for key_id, number in known:
            if not self.keys[key_id]['flags'] & PURGING:
                self._check_version(key_id, number)
        self._check_header()

    def _check_version(self, key_id, number):
        key, version = self.keys[key_id], self.versions.get((key_id, number))
        if version is None:
            raise Refused('CORRUPT', 'no record of a version')
        if key['versions'][number - 1]['has-material']:
            right = (commitment_of(version['material'], key_id, number)
                     == key['versions'][number - 1]['commitment'])
        else:
            right = version['material'] == bytes(32)
        if not right:
            raise Refused('CORRUPT', 'commitment')
        if number == key['primary-version'] and version['expires-ms'] != key['material-expires-ms']:
            raise Refused('CORRUPT', 'expiry')

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

    # What follows from the records and the clock.

    def _is_over(self, date_ms):
        return date_ms != 0 and self.now_ms >= date_ms

    def key_state(self, key):
        if key['deletion-ms'] != 0:
            return 3
        if not key['versions'] or self._is_over(key['material-expires-ms']) \
                or not key['versions'][key['primary-version'] - 1]['has-material']:
            return 4
        return key['state']

    def version_record(self, key_id, number):
        """Of a key that is being purged it may be gone."""
        if self.keys[key_id]['flags'] & PURGING:
            return {'source': 1, 'expires-ms': 0, 'destroy-ms': 0}
        return self.versions[key_id, number]

    def version_state(self, key_id, number):
        version = self.keys[key_id]['versions'][number - 1]
        if version['state'] in (1, 2) and (
                not version['has-material']
                or self._is_over(self.version_record(key_id, number)['expires-ms'])):
            return 5
        return version['state']

    @staticmethod
    def lowest_version(key):
        window = key['primary-version'] - key['version-window'] if key['version-window'] else 1
        return max(1, key['minimum-version'], window)

    def rotation(self, key):
        if not key['flags'] & ROTATION_ENABLED:
            return 0
        return 1 if self.key_state(key) == 1 else 2

    def next_rotation(self, key):
        if not key['flags'] & ROTATION_ENABLED:
            return 0
        start = max(key['rotation-start'], key['last-rotation-ms'])
        if key['rotation-stamp'] <= self.now_ms + DAY_MS:
            start = max(start, key['rotation-stamp'])
        return start + key['rotation-days'] * DAY_MS

    def last_use(self, key_id, number):
        uses = self.uses.get(key_id, [])
        return uses[number - 1] if number <= len(uses) else (0, 0)

    def find_version(self, key_id, number):
        if key_id not in self.keys:
            raise Refused('KEY_NOT_FOUND')
        key = self.keys[key_id]
        states = {2: 'DISABLED', 3: 'PENDING_DELETION', 4: 'PENDING_IMPORT'}
        if self.key_state(key) in states:
            raise Refused(states[self.key_state(key)])
        if not 1 <= number <= len(key['versions']):
            raise Refused('INVALID_CIPHERTEXT', 'version')
        version, record = key['versions'][number - 1], self.versions[key_id, number]
        states = {1: None, 2: 'DISABLED', 3: 'PENDING_DELETION', 4: 'DESTROYED'}
        newer(version['state'] in states, 'version')
        if version['state'] != 1:
            raise Refused(states[version['state']], 'version')
        if not version['has-material']:
            raise Refused('PENDING_IMPORT', 'version')
        if number < self.lowest_version(key):
            raise Refused('DISABLED', 'version')
        if self._is_over(record['expires-ms']):
            raise Refused('PENDING_IMPORT', 'version')
        return record['material'], version['suite'], key['usage']

    def open_blob(self, blob, pairs, expected_key_id=None):
        return open_blob(blob, pairs, self.find_version, expected_key_id)


def x25519_public(secret):
    key = X25519PrivateKey.from_private_bytes(secret)
    return key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


def token_key(store):
    return derive(b'libkms import', store.records_key, store.id, store.generation)


def token_plain(store, token):
    r = Reader(token)
    form, nonce = r.number(1), r.take(24)
    newer(form <= 1, 'token')
    if form != 1:
        raise Refused('INVALID_IMPORT', 'token')
    associated = store.id + bytes([form]) + struct.pack('>I', store.generation)
    return open_xchacha(token_key(store), nonce, associated, token[r.at:], 'INVALID_IMPORT')


def open_import_token(store, token):
    """Gives (key id, wrapping, expires, private key)."""
    r = Reader(token_plain(store, token))
    return r.take(16), r.number(1), r.number(8, True), r.take(len(r.data) - r.at)
