#!/usr/bin/env python3
"""Holds blobs, streams and stores of libkms against their descriptions, through the independent decoder.

    check.py blobs FILE...                 every blob opens to its plaintext, altered ones do not
    check.py values FILE                   deterministic blobs, derived keys and tokens follow from what
                                           stands beside them
    check.py page PAGE FILE [BLOCK]        the vectors in the page's first block, or another, are FILE's
    check.py streams FILE                  streams of chosen nonces are the bytes that stand there
    check.py made FILE FOLDER              streams in files, which the library has made, open
    check.py store STORE DESCRIPTION       a store holds what it should, altered ones are refused
    check.py store-page PAGE STORE DESCRIPTION   the page's vectors are those of the store
    check.py store-vectors STORE DESCRIPTION     prints these

tests/support/fixture_text.h has the grammar of the descriptions.
"""

import hashlib
import os
import random
import sys
import uuid

import decoder
from decoder import Refused

KINDS = ('derived', 'index', 'blob', 'store', 'key', 'version', 'alias', 'tag', 'record', 'token', 'stream')
FLIPS = 48
# Of a large store: how many records are altered, and how many pairs are swapped.
ALTERED, SWAPPED = 40, 100
# What a blob of the store answers, by its name.
REFUSALS = {'opens': 'OK', 'disabled': 'DISABLED', 'pending-deletion': 'PENDING_DELETION',
            'pending-import': 'PENDING_IMPORT', 'destroyed': 'DESTROYED',
            'purged': 'KEY_NOT_FOUND'}


class Wrong(Exception):
    pass


def expect(condition, *what):
    if not condition:
        raise Wrong(' '.join(str(w) for w in what))


# --- Descriptions --------------------------------------------------------------------------------

def parse(text):
    records, line_before = [], None
    for line in text.splitlines():
        if line.startswith(' '):
            line_before[-1] += line.strip()
        elif line and not line.startswith('#'):
            words = line.split(' ')
            if words[0] in KINDS:
                records.append({'': words, 'context': []})
                line_before = words
            elif words[0] == 'context':
                records[-1]['context'].append(words[1:])
                line_before = records[-1]['context'][-1]
            else:
                records[-1][words[0]] = words[1:]
                line_before = records[-1][words[0]]
    return records


def parse_file(path):
    with open(path, encoding='ascii') as file:
        return parse(file.read())


def unhex(word):
    return b'' if word == '-' else bytes.fromhex(word)


def data(record, field):
    return unhex(record[field][0])


def pairs_of(record):
    return [(unhex(key), unhex(value)) for key, value in record['context']]


def key_id_of(record, field='key-id'):
    return uuid.UUID(record[field][0]).bytes


def of_kind(records, kind):
    return [r for r in records if r[''][0] == kind]


# --- Blobs ---------------------------------------------------------------------------------------

def refusal(what, *args):
    """The status that a call answers; 'OK' if it opens."""
    try:
        what(*args)
    except Refused as refused:
        return refused.status
    return 'OK'


def finder_of(record):
    wanted = key_id_of(record), int(record['key-version'][0])

    def find(key_id, version):
        if key_id != wanted[0]:
            raise Refused('KEY_NOT_FOUND')
        if version != wanted[1]:
            raise Refused('INVALID_CIPHERTEXT')
        usage = 2 if record['kind'][0] == '4' else 1
        return data(record, 'material'), int(record['suite'][0]), usage
    return find


def check_values_on_the_way(record):
    material, version = data(record, 'material'), int(record['key-version'][0])
    suite, key_id = int(record['suite'][0]), key_id_of(record)
    key = decoder.suite_key_of(suite, material, key_id, version)
    fields = decoder.read_blob(data(record, 'blob-bytes'))
    expect(fields[:4] == (suite, int(record['kind'][0]), key_id, version), record[''], 'fields')
    expected = {'suite-key': key, 'commitment': decoder.commitment_of(material, key_id, version),
                'nonce': fields[5], 'context-bytes': decoder.canonical_context(pairs_of(record)),
                'nonce-key': decoder.nonce_key_of(material, key_id, version),
                'message-key': decoder.message_key_of(key, fields[5])}
    for field, value in expected.items():
        if field in record:
            expect(data(record, field) == value, record[''], field, value.hex())


def expected_refusal(at):
    """What a blob with one bit flipped at this place gets, by the table in the page."""
    if at == 3:
        return ('NEWER_FORMAT', 'INVALID_CIPHERTEXT')
    return ('KEY_NOT_FOUND',) if 6 <= at < 22 else ('INVALID_CIPHERTEXT',)


def check_altered(blob, pairs, find, thorough):
    bits = range(len(blob) * 8)
    for bit in bits if thorough else random.sample(bits, FLIPS):
        altered = bytearray(blob)
        altered[bit // 8] ^= 1 << bit % 8
        got = refusal(decoder.open_blob, bytes(altered), pairs, find)
        expect(got in expected_refusal(bit // 8), 'bit', bit, 'flipped:', got)
    for length in range(len(blob)) if thorough else random.sample(range(len(blob)), FLIPS):
        got = refusal(decoder.open_blob, blob[:length], pairs, find)
        expect(got == 'INVALID_CIPHERTEXT', 'cut to', length, got)
    contexts = [pairs + [(b'one more', b'')], pairs[:-1], [(k, v + b'x') for k, v in pairs],
                [(k + b'x', v) for k, v in pairs], [(k + v[:1], v[1:]) for k, v in pairs]]
    for context in contexts:
        if sorted(context) != sorted(pairs):
            got = refusal(decoder.open_blob, blob, context, find)
            expect(got == 'INVALID_CIPHERTEXT', 'another context:', got)


def check_of_chosen_nonce(record):
    """0.1 made no deterministic blob. Its one vector of that kind has a nonce that was chosen: the AEAD
    opens it, and a reader refuses it."""
    blob, find = data(record, 'blob-bytes'), finder_of(record)
    opened = decoder.open_sealed(blob, b'', data(record, 'material'))
    expect(opened == data(record, 'plaintext'), record[''], 'another plaintext')
    got = refusal(decoder.open_blob, blob, [], find)
    expect(got == 'INVALID_CIPHERTEXT', record[''], 'a chosen nonce:', got)


def check_blob(record, thorough):
    blob, pairs, find = data(record, 'blob-bytes'), pairs_of(record), finder_of(record)
    check_values_on_the_way(record)
    if record['kind'][0] == '4' and not pairs:
        check_of_chosen_nonce(record)
        return
    expect(len(blob) == len(data(record, 'plaintext')) + decoder.BLOB_OVERHEAD, 'size')
    opened = decoder.open_blob(blob, list(reversed(pairs)), find)
    expect(opened == data(record, 'plaintext'), record[''], 'another plaintext')
    check_altered(blob, pairs, find, thorough)


def check_blobs(paths):
    count = 0
    for path in paths:
        for record in parse_file(path):
            check_blob(record, len(data(record, 'blob-bytes')) < 130)
            count += 1
    print(f'{count} blobs')


def check_use_key(record, person):
    material, version = data(record, 'material'), int(record['key-version'][0])
    base = decoder.base_of(material, key_id_of(record), version)
    if 'base' in record:
        expect(data(record, 'base') == base, record[''], 'base')
        expect(data(record, 'use-key') == decoder.derive(person, base, key_id_of(record), version),
               record[''], 'use key')


def check_derived(record):
    check_use_key(record, b'libkms derive')
    value = data(record, 'value')
    expect(value == decoder.derived_key(data(record, 'material'), key_id_of(record),
                                        int(record['key-version'][0]), pairs_of(record),
                                        len(value)), record[''], 'another derived key')


def check_index(record):
    check_use_key(record, b'libkms index')
    token = decoder.blind_index(data(record, 'material'), key_id_of(record), data(record, 'label'),
                                data(record, 'plaintext'), int(record['bits'][0]))
    expect(token == data(record, 'value'), record[''], 'another token')


def check_values(path):
    records = parse_file(path)
    checks = {'blob': lambda record: check_blob(record, True), 'derived': check_derived,
              'index': check_index}
    for kind, check in checks.items():
        expect(len(of_kind(records, kind)) >= 2, path, 'has no', kind)
        for record in of_kind(records, kind):
            check(record)
    print(f'{len(records)} deterministic blobs, derived keys and tokens')


def vectors_in(page, block=1):
    with open(page, encoding='utf-8') as file:
        return file.read().split('## Test vectors')[1].split('```')[2 * int(block) - 1].strip()


def check_page(page, path, block=1):
    records = parse(vectors_in(page, block))
    expect(len(records) >= 4 and records == parse_file(path)[:len(records)],
           f'the vectors of {page} are not those of {path}')
    print(f'{len(records)} vectors of {page}')


# --- Streams -------------------------------------------------------------------------------------

SEALED = decoder.CHUNK + decoder.CHUNK_OVERHEAD


def plain_of(size):
    return bytes(i % 251 for i in range(251)) * (size // 251) + bytes(range(size % 251))


def finder_of_all(*wanted):
    """Of versions: (key id, version, material, suite)."""
    def find(key_id, version):
        ours = [w for w in wanted if w[0] == key_id]
        if not ours:
            raise Refused('KEY_NOT_FOUND')
        for _, number, material, suite in ours:
            if number == version:
                return material, suite, 1
        raise Refused('INVALID_CIPHERTEXT', 'version')
    return find


def sealing_of(record, prefix=''):
    return (key_id_of(record, f'{prefix}key-id'), int(record[f'{prefix}key-version'][0]),
            data(record, f'{prefix}material'), int(record[f'{prefix}key-suite'][0]))


def make_slots(record, suite, stream_key):
    """The header, of which a rewrap wrote so many bytes as the record says."""
    slots = []
    for number, prefix in enumerate(('', 'next-'), 1):
        if f'{prefix}material' not in record:
            continue
        key_id, version, material, key_suite = sealing_of(record, prefix)
        blob = decoder.make_stream_blob(suite, stream_key, pairs_of(record), key_suite, material,
                                        key_id, version, data(record, f'{prefix}nonce'))
        expect(blob == data(record, f'{prefix}blob-bytes'), record[''], 'another blob')
        slots.append(decoder.make_slot(number, stream_key, blob))
        expect(slots[-1][4064:] == data(record, f'{prefix}checksum'), record[''], 'checksum')
    if len(slots) == 1:
        return slots[0] * 2, 0
    written = int(record['written'][0])
    first, second = min(written, decoder.SLOT), max(written - decoder.SLOT, 0)
    return (slots[1][:second] + slots[0][second:] + slots[1][:first] + slots[0][first:],
            int(written >= decoder.SLOT))


def damaged_streams(stream, other):
    """What a stream of three chunks at least is not: (what, bytes)."""
    head, tail = stream[:decoder.STREAM_HEADER], stream[decoder.STREAM_HEADER:]
    chunks = [tail[at:at + SEALED] for at in range(0, len(tail) or 1, SEALED)]
    if len(tail) % SEALED == 0:
        chunks.append(b'')
    yield 'no chunk', head
    for length in (0, 8191, len(stream) - 1, len(stream) - 16, len(stream) - len(chunks[-1])):
        yield f'cut to {length}', stream[:length]
    for more in (b'\0', stream[-32:], chunks[0]):
        yield f'{len(more)} bytes added', stream + more
    for _ in range(FLIPS):
        at = random.randrange(len(head), len(stream))
        yield f'changed at {at}', stream[:at] + bytes([stream[at] ^ 1 << random.randrange(8)]) + stream[at + 1:]
    if len(chunks) > 1:
        yield 'the first chunk removed', head + b''.join(chunks[1:])
        yield 'the first chunk doubled', head + chunks[0] + tail
        yield 'the last chunk closed in', head + b''.join(chunks[:-2] + chunks[-1:])
    if len(chunks) > 2:
        yield 'chunks swapped', head + chunks[1] + chunks[0] + b''.join(chunks[2:])
    yield 'the header of another', other[:len(head)] + tail
    yield 'a slot of another', other[:decoder.SLOT] + bytes(decoder.SLOT) + tail
    yield 'both slots damaged', b'x' + head[1:5000] + b'x' + head[5001:] + tail


def slot_with(header, at, value):
    slot = bytearray(header[:4064])
    slot[at] = value
    return bytes(slot) + hashlib.blake2b(slot, digest_size=32).digest()


def check_headers(name, stream, pairs, find):
    """Slots with right checksums that say something else, twice and beside a whole one."""
    head, tail = stream[:decoder.SLOT], stream[decoder.STREAM_HEADER:]
    for at, value, expected in ((8, 2, 'NEWER_FORMAT'), (8, 0, 'INVALID_CIPHERTEXT'),
                                (17, head[17] ^ 1, 'INVALID_CIPHERTEXT'),
                                (180, 1, 'INVALID_CIPHERTEXT'), (4063, 1, 'INVALID_CIPHERTEXT'),
                                (49 + 5, 1, 'INVALID_CIPHERTEXT'), (49 + 3, 2, 'NEWER_FORMAT'),
                                (49 + 6, head[55] ^ 1, 'KEY_NOT_FOUND')):
        slot = slot_with(head, at, value)
        got = refusal(decoder.open_stream, slot * 2 + tail, pairs, find)
        expect(got == expected, name, 'byte', at, value, got)
        if at in (8, 180, 4063):
            got = refusal(decoder.open_stream, slot + head + tail, pairs, find)
            expect(got == 'OK', name, 'byte', at, 'of one slot alone', got)


def check_refusals(name, stream, other, pairs, find):
    for what, damaged in damaged_streams(stream, other):
        got = refusal(decoder.open_stream, damaged, pairs, find)
        expect(got == 'INVALID_CIPHERTEXT' or got == 'KEY_NOT_FOUND' and what.endswith('of another'),
               name, what, got)
    for context in ([(b'one', b'more')] + pairs, pairs[1:] or [(b'a', b'b')]):
        got = refusal(decoder.open_stream, stream, context, find)
        expect(got == 'INVALID_CIPHERTEXT', name, 'another context', got)


def check_stream(record, other):
    suite, stream_key = int(record['suite'][0]), data(record, 'stream-key')
    plain, name = plain_of(int(record['plaintext-size'][0])), record['']
    for field, value in {'commitment': decoder.stream_commitment_of(stream_key),
                         'chunk-key': decoder.chunk_key_of(suite, stream_key)}.items():
        expect(data(record, field) == value, name, field)
    header, counts = make_slots(record, suite, stream_key)
    chunks = decoder.make_chunks(suite, stream_key, data(record, 'salts'), plain)
    expect('chunks' not in record or data(record, 'chunks') == chunks, name, 'chunks')
    stream = header + chunks
    expect(len(stream) == int(record['stream-size'][0]), name, 'size')
    expect(hashlib.blake2b(stream, digest_size=32).digest() == data(record, 'stream-hash'), name,
           'another stream')
    find = finder_of_all(sealing_of(record, ('', 'next-')[counts]))
    expect(decoder.open_stream(stream, pairs_of(record), find) == plain, name, 'plaintext')
    check_refusals(name, stream, other, pairs_of(record), find)
    if 'written' not in record:
        check_headers(name, stream, pairs_of(record), find)
    return stream


def check_streams(path):
    records, other = parse_file(path), bytes(decoder.STREAM_HEADER)
    for record in records:
        other = check_stream(record, other)
    expect(len(records) >= 15, path, 'has', len(records), 'streams')
    print(f'{len(records)} streams')


def check_made(path, folder):
    records, other = parse_file(path), bytes(decoder.STREAM_HEADER)
    for record in records:
        with open(os.path.join(folder, f'{record[""][1]}.kmstream'), 'rb') as file:
            stream = file.read()
        find = finder_of_all(sealing_of(record))
        plain = decoder.open_stream(stream, pairs_of(record), find)
        expect(len(plain) == int(record['plaintext-size'][0])
               and hashlib.blake2b(plain, digest_size=32).digest() == data(record, 'plaintext-hash'),
               record[''], 'another plaintext')
        check_refusals(record[''], stream, other, pairs_of(record), find)
        other = stream
    print(f'{len(records)} streams that the library has made')


# --- Stores --------------------------------------------------------------------------------------

def root_of(description):
    record = of_kind(description, 'store')[0]
    if 'root-key' in record:
        return decoder.raw_root(data(record, 'root-key'))
    return decoder.passphrase_root(data(record, 'passphrase'))


def check_fields(record, values):
    """Those that a description of its age has."""
    for field, value in values.items():
        if field in record:
            expect(value == int(record[field][0]), record[''], field, value)


def check_key(store, record, versions, tags):
    key_id = uuid.UUID(record[''][1]).bytes
    key = store.keys[key_id]
    check_fields(record, {**key, 'state': store.key_state(key), 'rotation': store.rotation(key),
                          'suite': key['versions'][key['primary-version'] - 1]['suite'],
                          'deletion-protected': key['flags'] & decoder.DELETION_PROTECTED,
                          'next-rotation-ms': store.next_rotation(key),
                          'lowest-version': store.lowest_version(key)})
    if 'description' in record:
        expect(store.descriptions.get(key_id, b'') == data(record, 'description'), 'description')
    expect(store.tags.get(key_id, [])
           == [(unhex(tag[''][1]), data(tag, 'value')) for tag in tags], record[''], 'tags')
    expect(len(key['versions']) == int(record['version-count'][0]) == len(versions), 'versions')
    for number, version in enumerate(versions, 1):
        check_version(store, key_id, number, version)


def check_version(store, key_id, number, record):
    key = store.keys[key_id]
    version = key['versions'][number - 1]
    encrypted, decrypted = store.last_use(key_id, number)
    expect(number == int(record[''][1]), 'order')
    check_fields(record, {**store.version_record(key_id, number),
                          'state': store.version_state(key_id, number),
                          'suite': version['suite'], 'created-ms': version['created-ms'],
                          'primary': number == key['primary-version'],
                          'last-encrypt-ms': encrypted, 'last-decrypt-ms': decrypted,
                          'retired': number < store.lowest_version(key)})
    expect(version['commitment'] == data(record, 'commitment'), 'commitment')


def check_alias(store, record):
    alias, before = store.aliases[record[''][1]], record['previous-key-id'][0]
    expect(alias['key-id'] == key_id_of(record), record[''], 'key id')
    expect(alias['previous-key-id'] == (None if before == '-' else uuid.UUID(before).bytes),
           record[''], 'key id before')
    for field in ('created-ms', 'moved-ms'):
        expect(alias[field] == int(record[field][0]), record[''], field)


def check_store_blob(store, record):
    args = data(record, 'blob-bytes'), pairs_of(record)
    expected = REFUSALS[record[''][1]]
    expect(refusal(store.open_blob, *args) == expected, record, expected)
    if expected == 'OK':
        expect(store.open_blob(*args) == data(record, 'plaintext'), record[''])


def check_token(store, record):
    token = data(record, 'token-bytes')
    key_id, wrapping, expires_ms, secret = decoder.open_import_token(store, token)
    check_fields(record, {'wrapping': wrapping, 'expires-ms': expires_ms})
    expect(key_id == key_id_of(record), 'token: key id')
    expect(decoder.x25519_public(secret) == data(record, 'public-key'), 'token: private key')
    for at in range(len(token)):
        altered = token[:at] + bytes([token[at] ^ 128]) + token[at + 1:]
        expect(refusal(decoder.open_import_token, store, altered) != 'OK', 'token', at)


def check_refused(what, records, root):
    got = refusal(decoder.Store, records, root)
    expect(got != 'OK', what, 'was not noticed')


def some_of(records):
    """All keys of a small store; of a large one, those of each letter and some more."""
    if len(records) <= ALTERED:
        return list(records)
    first = {key[:1]: key for key in records}
    return list(set(first.values()) | set(random.sample(sorted(records), ALTERED)))


def check_altered_store(records, root):
    """Every record changed, taken away and put in another's place."""
    for key in some_of(records):
        value = records[key]
        at = random.randrange(len(value))
        changed = value[:at] + bytes([value[at] ^ 1 << random.randrange(8)]) + value[at + 1:]
        check_refused(f'{key}, changed at {at},', {**records, key: changed}, root)
        check_refused(f'{key}, cut,', {**records, key: value[:-1]}, root)
        check_refused(f'{key}, removed,', {k: v for k, v in records.items() if k != key}, root)
        check_refused(f'{key}, copied,', {**records, key + b'x': value}, root)
    pairs = [(one, other) for one in records for other in records
             if one != other and one[:1] == other[:1]]
    for one, other in random.sample(pairs, min(len(pairs), SWAPPED)):
        check_refused(f'{one}, swapped,',
                      {**records, one: records[other], other: records[one]}, root)


def check_store(path, description_path):
    description = parse_file(description_path)
    records, root = decoder.read_lmdb(path), root_of(description)
    record = of_kind(description, 'store')[0]
    store = decoder.Store(records, root, int(record['now-ms'][0]) if 'now-ms' in record else None)
    keys, aliases = of_kind(description, 'key'), of_kind(description, 'alias')
    expect(store.id == data(record, 'store-id'), 'store id')
    check_fields(record, {'changes': store.changes, 'generation': store.generation})
    expect(len(store.keys) == len(keys) and len(store.aliases) == len(aliases), 'counts')
    for key in keys:
        check_key(store, key, *([r for r in of_kind(description, kind)
                                 if r['key-id'] == key[''][1:]] for kind in ('version', 'tag')))
    for alias in aliases:
        check_alias(store, alias)
    for blob in of_kind(description, 'blob'):
        check_store_blob(store, blob)
    for token in of_kind(description, 'token'):
        check_token(store, token)
    if root[0] == b'raw':
        check_altered_store(records, root)
    check_refused('another root key', records, decoder.raw_root(bytes(range(32))))
    print(f'{path}: {len(keys)} keys, {len(aliases)} aliases, '
          f'{len(of_kind(description, "blob"))} blobs')


def lines(field, value):
    digits = value.hex() or '-'
    return f'{field} ' + '\n    '.join(digits[i:i + 80] for i in range(0, len(digits), 80))


def is_worth_showing(store, key):
    """Of keys and versions one with material."""
    if key[:1] not in b'KV':
        return key[:1] in b'ADHITU'
    of = store.keys[key[1:17]]
    return of['versions'][0]['has-material'] and not of['flags'] & decoder.PURGING


def token_vectors(store, record):
    token = data(record, 'token-bytes')
    return ['', 'token waiting', lines('token-key', decoder.token_key(store)),
            lines('token-bytes', token), lines('plaintext', decoder.token_plain(store, token))]


def store_vectors(path, description_path):
    description = parse_file(description_path)
    store = decoder.Store(decoder.read_lmdb(path), root_of(description))
    out = ['record boot', lines('key', b'B'), lines('value', store.boot)]
    out += [lines(field, value) for field, value in store.unlocking.items()]
    out += [lines('store-key', store.store_key), lines('records-key', store.records_key)]
    shown = set()
    for key in sorted(store.records):
        if key[:1] not in shown and is_worth_showing(store, key):
            shown.add(key[:1])
            out += ['', f'record {chr(key[0])}', lines('key', key),
                    lines('value', store.records[key]), lines('plaintext', store.plain(key))]
            if key != b'H':
                out += [lines('mark', decoder.mark_of(store.records[key])),
                        lines('set-hash-part', store.set_member(key))]
    for record in of_kind(description, 'token'):
        out += token_vectors(store, record)
    return '\n'.join(out)


def check_store_page(page, path, description_path):
    expect(vectors_in(page) == store_vectors(path, description_path),
           f'the vectors of {page} are not those of {path}')
    print(f'vectors of {page}')


def main(args):
    command, rest = args[0], args[1:]
    if command == 'store-vectors':
        print(store_vectors(*rest))
    elif command == 'blobs':
        check_blobs(rest)
    else:
        {'values': check_values, 'page': check_page, 'streams': check_streams, 'made': check_made,
         'store': check_store, 'store-page': check_store_page}[command](*rest)


if __name__ == '__main__':
    try:
        main(sys.argv[1:])
    except (Wrong, Refused) as wrong:
        sys.exit(f'{" ".join(sys.argv[1:])}: {wrong}')
