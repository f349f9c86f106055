#!/usr/bin/env python3
"""Checks the sources against the rules that no compiler knows: who may include whom, which library each C header
belongs to, where JSON is read, and the forms of coroutine code that g++ 12 miscompiles. Prints one line per
violation."""

import pathlib
import re
import sys

# A folder may use every folder of an earlier row, never one of its own row.
RUNTIME_ROWS = [
    ["base"],
    ["os"],
    ["async"],
    ["http", "db", "objects", "logs", "secrets"],
    ["docker", "git", "snapshot", "gpu", "shim"],
    ["environment"],
]
AGENT_ROWS = [
    ["model"],
    ["wire", "queue"],
    ["jobfile", "store"],
    ["gpus", "disk"],
    ["drivers"],
    ["jobs"],
    ["api"],
    ["daemon"],
]
# What the rows would allow, but a folder must do without.
PURE = {"agent/model": {"runtime/base"}, "agent/wire": {"runtime/base", "agent/model"},
        "agent/queue": {"runtime/base", "agent/model"}}
WITHOUT_ASIO = {"runtime/base", "runtime/os", "runtime/shim", "runtime/git", "agent/model", "agent/wire",
                "agent/queue"}
CLI = {f"runtime/{folder}" for folder in ("base", "os", "async", "http", "objects", "docker", "snapshot", "git")} | {
    "agent/model", "agent/wire", "agent/jobfile"}
# Of the folder that is for Asio they may use this alone: what runs `git` runs it as every other tool.
TOOL_HEADER = "runtime/async/tool.hpp"
TOOL_USERS = {"runtime/shim", "runtime/git"}

# C libraries: the folder that may see the header, and in how many files.
LIBRARIES = {
    "boost/beast": ("runtime/http", None),
    "boost/process": ("runtime/async", 1),
    "git2": ("runtime/git", 1),
    "sqlite3.h": ("runtime/db", 1),
    "zstd.h": (None, 1),
    "spdlog": ("runtime/base", 1),
    "ncurses": ("agent/cli", 1),
    "systemd": ("runtime/os", 1),
    "openssl/ssl.h": ("runtime/http", 1),
    "openssl/sha.h": ("runtime/objects", 1),
    "openssl/evp.h": ("runtime/secrets", 1),
}

# The only file that may read JSON: there it is bounded. Tests read what they like.
JSON_READER = "runtime/base/json.cpp"
JSON_TYPES = {"json", "Json", "ordered_json", "basic_json"}
JSON_ALIAS = re.compile(r"\busing\s+(\w+)\s*=\s*(?:::)?nlohmann::\w+")
# The reading functions of nlohmann/json, and `stream >> value` where the value is declared as JSON.
JSON_READS = re.compile(r"\b(\w+)\s*(?:<[^;{}()]*>)?\s*::\s*(?:parse|sax_parse|accept|from_(?:cbor|msgpack|ubjson|bson|bjdata))\s*\(")
JSON_LITERAL = re.compile(r'"_json\b')

# The only files that may write to the table of jobs: there each change has its event. Migrations are of no job's life.
JOB_WRITERS = {"agent/store/changes.hpp", "agent/store/changes.cpp", "agent/store/schema.cpp"}
JOB_WRITES = re.compile(r"\b(?:INSERT(?: OR \w+)? INTO|REPLACE INTO|UPDATE(?: OR \w+)?|DELETE FROM) job\b")

CLASS = re.compile(r"(?<!enum )\b(struct|class)\s+(\w+)\s*(?:final\s*)?(?::[^;{}()]*)?\{")
TASK = re.compile(r"\b(?:async::)?Task<[^;{}()]*?>(?=\s+[\w:]+\s*\(|\s*\{)")
BRACED_DEFAULT = re.compile(r"[(,]\s*(?:const\s+)?([\w:]+)\s*&?\s*\w+\s*=\s*(?:[\w:]+\s*)?\{")

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.MULTILINE)
COMMENT_OR_STRING = re.compile(
    r'//[^\n]*|/\*.*?\*/|R"(\w*)\(.*?\)\1"|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])+\'', re.DOTALL)


def allowed():
    """folder → the folders that it may include, itself among them."""
    table = {}
    for top, rows, below in (("runtime", RUNTIME_ROWS, set()), ("agent", AGENT_ROWS, None)):
        below = {f"runtime/{f}" for row in RUNTIME_ROWS for f in row} if below is None else below
        for row in rows:
            for folder in row:
                table[f"{top}/{folder}"] = set(below)
            below |= {f"{top}/{folder}" for folder in row}
    table["agent/cli"] = set(CLI)
    table.update({folder: set(pure) for folder, pure in PURE.items()})
    for folder in table:
        table[folder].add(folder)
    return table


def without_comments(text):
    """Comments and the contents of literals become blanks; lines stay where they are."""
    def blank(match):
        kept = "".join("\n" if c == "\n" else " " for c in match.group())
        return kept if match.group().startswith("/") else '"' + kept[1:-1] + '"'
    return COMMENT_OR_STRING.sub(blank, text)


def json_reads(code):
    """Offsets of what reads JSON past the reader: `json::parse(…)` by any name of the type, `in >> value`, `"…"_json`."""
    types = JSON_TYPES | {match.group(1) for match in JSON_ALIAS.finditer(code)}
    for match in JSON_READS.finditer(code):
        if match.group(1) in types:
            yield match.start()
    values = set(re.findall(r"\b(?:%s)\s+(\w+)\s*[;={]" % "|".join(sorted(types)), code))
    for match in re.finditer(r">>\s*(\w+)\b", code):
        if match.group(1) in values:
            yield match.start()
    for match in JSON_LITERAL.finditer(code):
        yield match.start()


def of_library(header, library):
    return header == library or header.startswith((library + ".", library + "/"))


def matching_brace(text, at):
    depth = 0
    for i in range(at, len(text)):
        depth += {"{": 1, "}": -1}.get(text[i], 0)
        if depth == 0:
            return i
    return len(text) - 1


def braced_temporaries(text):
    """Offsets of aggregate temporaries inside co_await expressions: `co_await f({…})`, `co_await f(Type{…})`."""
    for start in re.finditer(r"\bco_await\b", text):
        depth, i = 0, start.end()
        while i < len(text):
            c = text[i]
            if c in "([":
                depth += 1
            elif c in ")]":
                depth -= 1
            elif c in ";," and depth == 0:
                break
            elif c == "{":
                before = text[start.end():i].rstrip()
                if depth == 0 and not re.search(r"[\w>]$", before):
                    break
                word = re.search(r"([\w:]+)(<[^;{}()]*>)?$", before)
                after_arrow = re.search(r"->\s*[\w:]+(<[^;{}]*>)?$", before)
                is_lambda = before.endswith(("]", ")")) or after_arrow or (
                    word and word.group(1) in ("mutable", "noexcept"))
                if not is_lambda and (before.endswith(("(", ",")) or (
                        word and re.match(r"[A-Z]", word.group(1).split("::")[-1]))):
                    yield start.start()
                    break
                i = matching_brace(text, i)
            if depth < 0:
                break
            i += 1


def matching_parenthesis(text, at):
    """Of the one at `at`, forwards or backwards."""
    step = 1 if text[at] == "(" else -1
    depth = 0
    while 0 <= at < len(text):
        depth += {"(": step, ")": -step}.get(text[at], 0)
        if depth == 0:
            return at
        at += step
    return -1


def own_level(body):
    """What stands in no braces of its own."""
    while (rest := re.sub(r"\{[^{}]*\}", ";", body)) != body:
        body = rest
    return body


def aggregates(codes):
    """The names of structs all of which, wherever they are, have no constructor, nothing private and nothing virtual."""
    found = {}
    for code in codes:
        for match in CLASS.finditer(code):
            kind, name = match.groups()
            members = own_level(code[match.end():matching_brace(code, match.end() - 1)])
            plain = kind == "struct" and not re.search(
                rf"(?<![~\w:]){name}\s*\(|\b(?:virtual|private|protected)\b", members)
            found[name] = found.get(name, True) and plain
    return {name for name, plain in found.items() if plain}


def aggregate_defaults(code, names):
    """(offset, type) of parameters of coroutines that have `= {}` for an aggregate: made by who waits for the coroutine."""
    for start in TASK.finditer(code):
        lambda_end = re.search(r"\)\s*(?:mutable\s*)?->\s*$", code[:start.start()][-200:])
        if lambda_end:
            end = start.start() - min(start.start(), 200) + lambda_end.start()
            begin = matching_parenthesis(code, end)
        else:
            function = re.compile(r"\s+[\w:]+\s*\(").match(code, start.end())
            begin = function.end() - 1 if function else -1
            end = matching_parenthesis(code, begin) if function else -1
        if begin < 0 or end < 0:
            continue
        for match in BRACED_DEFAULT.finditer(code, begin, end):
            if match.group(1).split("::")[-1] in names:
                yield match.start(1), match.group(1)


def choices_of_values(text):
    """Offsets of `co_await … x ? f() : g …`: a `?:` one of whose branches makes a value, by a call or in braces."""
    for start in re.finditer(r"\bco_await\b", text):
        depth, i = 0, start.end()
        choice = None  # how deep the `?` is whose branches these are
        while i < len(text) and depth >= 0:
            c = text[i]
            called = c == "(" and re.search(r"[\w>]\s*$", text[start.end():i])
            if choice is not None and (c == "{" or called):
                yield start.start()
                break
            if c in ";," and depth == 0:
                break
            if c == "?" and choice is None:
                choice = depth
            elif c in ",)]" and depth == choice:
                choice = None
            if c == "{":
                i = matching_brace(text, i)
            depth += {"(": 1, "[": 1, ")": -1, "]": -1}.get(c, 0)
            i += 1


def waits_in_conditions(text):
    """Offsets of `if (… co_await …)`, and of the same with while and switch."""
    for start in re.finditer(r"\b(?:if|while|switch)\b\s*(?:constexpr\s*)?\(", text):
        depth, i = 1, start.end()
        while i < len(text) and depth > 0:
            depth += {"(": 1, ")": -1}.get(text[i], 0)
            if text[i] == "{":
                i = matching_brace(text, i)
            elif re.match(r"\bco_await\b", text[i:i + 9]):
                yield start.start()
                break
            i += 1


def links(root, folder):
    """[(target, [linked targets])] of the folder's CMakeLists.txt."""
    file = root / folder / "CMakeLists.txt"
    if not file.exists():
        return []
    text = re.sub(r"#[^\n]*", "", file.read_text())
    found = []
    for call in re.finditer(r"\b(berth_library|berth_program|target_link_libraries)\s*\(\s*(\S+)([^)]*)\)", text):
        kind, target, rest = call.groups()
        words = rest.split()
        if kind != "target_link_libraries":
            starts = [i for i, word in enumerate(words) if word in ("LINK", "PRIVATE")]
            words = words[starts[0]:] if starts else []
        found.append((target, [word for word in words if re.match(r"(runtime|agent)_\w+$", word)]))
    return found


class Checker:
    def __init__(self, root):
        self.root = pathlib.Path(root)
        self.allowed = allowed()
        self.violations = []
        self.library_users = {name: [] for name in LIBRARIES}

    def complain(self, file, line, text):
        self.violations.append(f"{file}:{line}: {text}")

    def run(self):
        self.read_links()
        if not any((self.root / top).is_dir() for top in ("runtime", "agent")):
            self.complain(self.root, 0, "no sources here")
        texts = {file.relative_to(self.root).as_posix(): file.read_text(encoding="utf-8")
                 for top in ("agent", "runtime", "tests") for file in sorted((self.root / top).rglob("*"))
                 if file.suffix in (".cpp", ".hpp", ".h", ".c")}
        codes = {name: without_comments(text) for name, text in texts.items()}
        self.aggregates = aggregates(codes.values())
        for name, text in texts.items():
            self.check_file(name, text, codes[name])
        for library, users in self.library_users.items():
            most = LIBRARIES[library][1]
            files = sorted({name for name, _ in users})
            if most is not None and len(files) > most:
                for name in files:
                    self.complain(name, 1, f"<{library}> belongs into one .cpp, but {len(files)} files include it")
        return self.violations

    def read_links(self):
        folders = [f.relative_to(self.root).as_posix() for top in ("runtime", "agent")
                   for f in sorted((self.root / top).glob("*")) if f.is_dir()]
        calls = [(folder, *call) for folder in folders for call in links(self.root, folder)]
        folder_of, linked = {}, {}
        for folder, target, _ in calls:
            folder_of.setdefault(target, folder)

        def home(target):
            return folder_of.get(target, target.replace("_", "/", 1))

        for folder, target, targets in calls:
            linked.setdefault(target, []).extend(targets)
            for other in targets:
                if folder in self.allowed and home(other) not in self.allowed[folder]:
                    self.complain(f"{folder}/CMakeLists.txt", 1, f"{folder} must not link {other}")
        self.reach = {}
        for folder in folders:
            if not (self.root / folder / "CMakeLists.txt").exists():
                continue
            reached = set()
            todo = [target for target, its in folder_of.items() if its == folder]
            while todo:
                target = todo.pop()
                if target not in reached:
                    reached.add(target)
                    todo.extend(linked.get(target, []))
            self.reach[folder] = {home(target) for target in reached}

    def check_file(self, name, text, code):
        folder = "/".join(name.split("/")[:2])

        def line(offset):
            return text.count("\n", 0, offset) + 1

        if folder.startswith(("agent/", "runtime/")) and folder not in self.allowed:
            self.complain(name, 1, f"{folder} is not in the layers; add it to tests/layers/layers.py")
            return
        for include in INCLUDE.finditer(text):
            if code[include.start():include.end()].strip():
                self.check_include(name, folder, include.group(2), line(include.start(2)))
        for match in re.finditer(r"\basio::detached\b", code):
            self.complain(name, line(match.start()), "asio::detached loses failures; spawn in a Nursery")
        for offset in braced_temporaries(code):
            self.complain(name, line(offset),
                          "aggregate temporary inside co_await: g++ 12 destroys it twice; name it and move it in")

        for offset in choices_of_values(code):
            self.complain(name, line(offset), "?: that makes a value inside co_await: g++ 12 destroys it twice; name what it chooses")
        for offset, kind in aggregate_defaults(code, self.aggregates):
            self.complain(name, line(offset),
                          f"{{}} as the default of a coroutine's argument: g++ 12 destroys it twice; write {kind}()")

        if not name.startswith("tests/") and name != JSON_READER:
            for offset in json_reads(code):
                self.complain(name, line(offset), "JSON is read with runtime/base/json.hpp alone, which bounds it")

        if not name.startswith("tests/") and name not in JOB_WRITERS:
            for match in JOB_WRITES.finditer(text):
                self.complain(name, line(match.start()), "jobs are written through agent/store/changes.hpp alone, which tells of it")

        for offset in waits_in_conditions(code):
            self.complain(name, line(offset), "co_await within a condition: g++ 12 miscompiles it; name what it gives")

    def check_include(self, name, folder, header, line):
        if header == "boost/asio.hpp":
            self.complain(name, line, "<boost/asio.hpp> brings all of Asio; include what is used")
        if folder in WITHOUT_ASIO and header.startswith("boost/asio"):
            self.complain(name, line, f"{folder} does without Asio")
        for library, (home, _) in LIBRARIES.items():
            if of_library(header, library):
                if not name.startswith("tests/"):
                    self.library_users[library].append((name, line))
                    if home is not None and folder != home:
                        self.complain(name, line, f"only {home} may see <{header}>")
        used = re.match(r"(runtime|agent)/\w+(?=/)", header)
        if not used or folder not in self.allowed:
            return
        if used.group() not in self.allowed[folder]:
            self.complain(name, line, f"{folder} must not include {header}")
        elif folder in self.reach and used.group() not in self.reach[folder]:
            self.complain(name, line, f"includes {header}, but {folder}/CMakeLists.txt does not link it")
        if folder in TOOL_USERS and used.group() == "runtime/async" and header != TOOL_HEADER:
            self.complain(name, line, f"{folder} does without Asio, so without {used.group()}")


def ghosts(root):
    """The rules that name a folder, a file or a library that is not there: they keep nobody from anything."""
    root = pathlib.Path(root)
    named = {folder for top, rows in (("runtime", RUNTIME_ROWS), ("agent", AGENT_ROWS)) for row in rows
             for folder in (f"{top}/{name}" for name in row)}
    named |= {folder for pure in PURE.items() for folder in (pure[0], *pure[1])} | CLI | WITHOUT_ASIO | TOOL_USERS
    named |= {home for home, _ in LIBRARIES.values() if home}
    there = {file.relative_to(root).as_posix(): file for top in ("runtime", "agent")
             for file in (root / top).rglob("*") if file.suffix in (".cpp", ".hpp", ".h", ".c")}
    for folder in sorted(named - {"/".join(name.split("/")[:2]) for name in there}):
        yield f"layers.py has a rule for {folder}, where no sources are"
    for name in sorted({JSON_READER, TOOL_HEADER, *JOB_WRITERS} - set(there)):
        yield f"layers.py has a rule for {name}, which is not there"
    included = {header for file in there.values() for _, header in INCLUDE.findall(file.read_text(encoding="utf-8"))}
    for library in LIBRARIES:
        if not any(of_library(header, library) for header in included):
            yield f"layers.py has a rule for <{library}>, which nobody includes"


def main():
    violations = Checker(sys.argv[1]).run() + list(ghosts(sys.argv[1]))
    for violation in violations:
        print(violation)
    print(f"layers: {len(violations)} violations")
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main())
