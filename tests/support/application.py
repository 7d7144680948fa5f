"""The application of examples/quickstart as another program sees it: its table read, written, damaged
and written meanwhile, through libkms' public functions and SQLite, with none of an example's code.

    application.py LIBRARY DATABASE STORE COMMAND [ARGUMENT...]    passphrase in PASSPHRASE

The command serve takes commands from standard input instead, a line each, with tabs between its words,
and answers each with a line: its exit status.
"""

import contextlib
import ctypes
import fcntl
import functools
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
import traceback
import uuid

ALIAS = b"alias/MyAppKey"
FIELDS = ("id_number", "card_number", "home_address")
KMS_OK = 0


class Pair(ctypes.Structure):
    _fields_ = [("key", ctypes.c_char_p), ("value", ctypes.c_char_p)]


class Context(ctypes.Structure):
    _fields_ = [("pairs", ctypes.POINTER(Pair)), ("count", ctypes.c_size_t)]


def context(**pairs):
    array = (Pair * len(pairs))(*[Pair(k.encode(), str(v).encode()) for k, v in pairs.items()])
    return Context(array, len(pairs))


def place(row, field):
    return context(table="customers", column=field, row=row)


class Kms:
    def __init__(self, library, path):
        self.lib, self.path = ctypes.CDLL(library), path
        for name in ("kms_error_message", "kms_status_name"):
            getattr(self.lib, name).restype = ctypes.c_char_p

    # Opened by the first command that needs it.
    @functools.cached_property
    def store(self):
        engine, root, store = (ctypes.c_void_p() for _ in range(3))
        passphrase = os.environ["PASSPHRASE"].encode()
        self.must(self.lib.kms_lmdb_backend(ctypes.byref(engine), self.path.encode(), None))
        self.must(self.lib.kms_root_passphrase(ctypes.byref(root), passphrase,
                                               ctypes.c_size_t(len(passphrase))))
        self.must(self.lib.kms_open(ctypes.byref(store), engine, root, 0, None))
        return store

    def must(self, status):
        assert status == KMS_OK, self.lib.kms_error_message().decode()

    def encrypt(self, alias, where, plain, function="kms_encrypt"):
        blob, size = ctypes.create_string_buffer(len(plain) + 98), ctypes.c_size_t()
        self.must(getattr(self.lib, function)(
            self.store, alias, ctypes.byref(where), plain, ctypes.c_size_t(len(plain)), blob,
            ctypes.c_size_t(len(blob)), ctypes.byref(size)))
        return blob.raw[:size.value]

    def try_decrypt(self, where, blob):
        plain, size = ctypes.create_string_buffer(len(blob)), ctypes.c_size_t()
        status = self.lib.kms_decrypt(self.store, ctypes.byref(where), blob,
                                      ctypes.c_size_t(len(blob)), plain,
                                      ctypes.c_size_t(len(plain)), ctypes.byref(size))
        return status, plain.raw[:size.value]

    def decrypt(self, where, blob):
        status, plain = self.try_decrypt(where, blob)
        self.must(status)
        return plain

    def close(self):
        if "store" in self.__dict__:
            self.lib.kms_close(self.store)


def connect(path):
    return sqlite3.connect(path, timeout=60, isolation_level=None)


def read_blob(db, row, field):
    return db.execute(f"SELECT {field} FROM customers WHERE id = ?", (row,)).fetchone()[0]


def write_blob(db, row, field, blob):
    db.execute(f"UPDATE customers SET {field} = ? WHERE id = ?", (blob, row))


# dump: every customer in the form of `quickstart --print`
def dump(kms, db):
    for row, name, *blobs in db.execute(f"SELECT id, name, {', '.join(FIELDS)} FROM customers ORDER BY id"):
        fields = [kms.decrypt(place(row, f), b).decode() for f, b in zip(FIELDS, blobs)]
        print(row, name, *fields, sep="\t")


# keep FILE: a blob of today
def keep(kms, db, file):
    with open(file, "wb") as out:
        out.write(read_blob(db, 1, "id_number"))


# try FILE: what opening it answers
def try_kept(kms, db, file):
    with open(file, "rb") as kept:
        print(kms.lib.kms_status_name(kms.try_decrypt(place(1, "id_number"), kept.read())[0]).decode())


# damage: one blob has an altered bit, one is cut, one is text, one stands in another row
def damage(kms, db, file):
    with connect(file) as copy:
        db.backup(copy)
    blob = read_blob(db, 7, "card_number")
    write_blob(db, 7, "card_number", blob[:70] + bytes([blob[70] ^ 1]) + blob[71:])
    write_blob(db, 8, "home_address", read_blob(db, 8, "home_address")[:50])
    write_blob(db, 9, "id_number", "no blob")
    write_blob(db, 10, "id_number", read_blob(db, 11, "id_number"))


# repair FILE: from the copy that was made before
def repair(kms, db, file):
    with contextlib.closing(connect(file)) as copy:
        for row, field in ((7, "card_number"), (8, "home_address"), (9, "id_number"), (10, "id_number")):
            write_blob(db, row, field, read_blob(copy, row, field))


def set_address(kms, db, row, text):
    write_blob(db, row, "home_address", kms.encrypt(ALIAS, place(row, "home_address"), text.encode()))


def read_customers(path):
    with open(path, encoding="utf-8") as file:
        return {int(row): fields for row, *fields in (line.rstrip("\n").split("\t") for line in file)}


def must_hold(kms, db, expected):
    rows = db.execute(f"SELECT id, name, {', '.join(FIELDS)} FROM customers").fetchall()
    assert {row[0] for row in rows} == set(expected), "rows came or went"
    for row, name, *blobs in rows:
        plain = [kms.decrypt(place(row, f), b).decode() for f, b in zip(FIELDS, blobs)]
        assert [name, *plain] == expected[row], (row, plain)


# How many values are not under a version of a key, by what the blobs themselves say.
def count_stale(db, key, version):
    header = uuid.UUID(key).bytes + version.to_bytes(4, "big")
    return db.execute("SELECT " + " + ".join(f"coalesce(sum(substr({f}, 7, 20) <> ?1), 0)" for f in FIELDS) +
                      " FROM customers", (header,)).fetchone()[0]


def wait_until(program, reached, limit=60.0):
    end = time.monotonic() + limit
    while program.poll() is None and not reached() and time.monotonic() < end:
        time.sleep(0.002)


# kill CUSTOMERS TIMES KEY COMMAND...: runs a program that re-encrypts, and kills it: every other time when some part
# of its work is done, and else after some part of the time that the whole takes. When nothing is left to
# do, the key is rotated. Every customer must be what the file says, whenever it was killed.
def kill(kms, db, customers, times, key, *command):
    expected, draw, version = read_customers(customers), random.Random(), ctypes.c_uint32()
    seed = draw.randrange(1 << 32)
    draw.seed(seed)
    kills = midway = turns = 0

    def rotate():
        kms.must(kms.lib.kms_create_key_version(kms.store, key.encode(), ctypes.byref(version)))

    def stale():
        return count_stale(db, key, version.value)

    rotate()
    whole, began = stale(), time.monotonic()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    seconds = time.monotonic() - began
    while (kills < int(times) or midway < int(times) // 3) and turns < 10 * int(times):
        before = stale()
        if before == 0:
            rotate()
            before = stale()
        program = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        if turns % 2 == 0:
            goal = draw.randrange(before)
            wait_until(program, lambda: stale() <= goal)
        else:
            time.sleep(draw.random() * seconds)
        program.kill()
        killed = program.wait() == -signal.SIGKILL
        assert killed or program.returncode == 0, program.returncode
        kills, midway, turns = kills + killed, midway + (killed and 0 < stale() < whole), turns + 1
        must_hold(kms, db, expected)
    print(f"{kills} kills, {midway} of them midway, in {turns} turns; seed {seed}")
    assert kills >= int(times) and midway >= int(times) // 3


# write CUSTOMERS TIMES FILE: changes rows, deletes some and adds some; the file has every customer as it must
# be then
def write(kms, db, customers, times, file):
    expected = read_customers(customers)
    draw, last = random.Random(1), max(expected)
    for step in range(1, int(times) + 1):
        row = draw.choice(sorted(expected))
        if step % 50 == 0:
            db.execute("DELETE FROM customers WHERE id = ?", (row,))
            del expected[row]
        elif step % 10 == 0:
            last += 1
            expected[last] = ["Newcomer", f"number {step}", f"card {step}", f"address {step}"]
            blobs = [kms.encrypt(ALIAS, place(last, f), p.encode()) for f, p in zip(FIELDS, expected[last][1:])]
            db.execute("INSERT INTO customers VALUES (?, ?, ?, ?, ?)", (last, "Newcomer", *blobs))
        else:
            expected[row][3] = f"moved in step {step}"
            set_address(kms, db, row, expected[row][3])
    with open(file, "w") as out:
        for row in sorted(expected):
            print(row, *expected[row], sep="\t", file=out)


# change_behind ROW TEXT WAIT COMMAND...: runs a program that is held up by a lock when it wants to write,
# and changes a row meanwhile, which it has read before if the wait was long enough
def change_behind(kms, db, row, text, wait, *command):
    db.execute("BEGIN IMMEDIATE")
    program = subprocess.Popen(command, stdout=sys.stdout, stderr=subprocess.STDOUT)
    time.sleep(float(wait))
    set_address(kms, db, int(row), text)
    db.execute("COMMIT")
    sys.exit(program.wait())


# old_blob_behind FILE WAIT COMMAND...: runs a program that is held up when it wants to print, and puts a
# kept blob into its row meanwhile, which the program has read before if the wait was long enough
def old_blob_behind(kms, db, file, wait, *command):
    with open(file, "rb") as kept:
        blob = kept.read()
    reader, writer = os.pipe()
    size = fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    os.write(writer, b"." * size)
    program = subprocess.Popen(command, stdout=writer, stderr=sys.stdout)
    os.close(writer)
    time.sleep(float(wait))
    write_blob(db, 1, "id_number", blob)
    while data := os.read(reader, size):
        print(data.lstrip(b".").decode(), end="")
    sys.exit(program.wait())


# alias NAME KEY, no_alias NAME
def alias(kms, db, name, key):
    kms.must(kms.lib.kms_create_alias(kms.store, name.encode(), key.encode()))


def no_alias(kms, db, name):
    kms.must(kms.lib.kms_delete_alias(kms.store, name.encode()))


# twice NUMBER: a person of examples/searchable_column whose number another row has under another key
def twice(kms, db, number):
    blob = kms.encrypt(b"alias/people/id_number", context(table="people", column="id_number"),
                       number.encode(), "kms_encrypt_deterministic")
    text, size = ctypes.create_string_buffer(4 * len(blob)), ctypes.c_size_t()
    kms.must(kms.lib.kms_blob_to_text(blob, ctypes.c_size_t(len(blob)), text,
                                      ctypes.c_size_t(len(text)), ctypes.byref(size)))
    db.execute("INSERT INTO people (id_number, name, name_token) SELECT ?, name, name_token"
               " FROM people WHERE id = 1", (text.value.decode(),))


COMMANDS = {"dump": dump, "kill": kill, "keep": keep, "try": try_kept, "damage": damage, "repair": repair,
            "write": write, "change_behind": change_behind, "old_blob_behind": old_blob_behind,
            "alias": alias, "no_alias": no_alias, "twice": twice}


def answer(kms, db, words, said):
    with open(said, "w", encoding="utf-8") as out, contextlib.redirect_stdout(out):
        try:
            COMMANDS[words[0]](kms, db, *words[1:])
        except SystemExit as end:
            return end.code
        except Exception:  # of whatever kind: the test tells it
            traceback.print_exc(file=out)
            return 1
    return 0


# serve FILE: what a command says is in the file when its status is answered
def serve(kms, db, said):
    for line in sys.stdin:
        print(answer(kms, db, line.rstrip("\n").split("\t"), said), flush=True)


def main():
    library, database, store, command, *arguments = sys.argv[1:]
    kms = Kms(library, store)
    with contextlib.closing(connect(database)) as db:
        (serve if command == "serve" else COMMANDS[command])(kms, db, *arguments)
    kms.close()


main()
