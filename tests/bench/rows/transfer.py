"""A changed source tree brought to where it runs: from the command typed until the job's process has started in the
new tree, against rsync and git, which end when their copy is complete."""

import time
from dataclasses import dataclass

import trees
from harness import PROGRAMS, check, in_turn, median
from node import CountingProxy, Node
from peers import Git, Rsync, tree_of
from report import Row, milliseconds, size

EDITS = 5  # a round: they are short


@dataclass
class Moved:
    seconds: float
    bytes: int
    body: int = 0  # of the pack alone


class Berth:
    """`berth run` of a job that tells when it started and what tree it found. Bytes are those of the requests about
    the snapshot, with their headers and their answers, not of the job request that every submission sends."""

    def __init__(self, bench, source):
        self._bench, self._source = bench, source
        self._node = Node(bench)
        self._proxy = CountingProxy(bench, self._node, PROGRAMS)

    def sync(self):
        output = self._node.state.with_suffix(".out")
        run = self._node.berth(
            "run", "--code", self._source, "--", PROGRAMS / "arrive",
            output=output, timeout=180, environment={"BERTH_SOCKET": str(self._proxy.socket)},
        )  # fmt: skip
        said = dict(line.split(" ", 1) for line in output.read_text().splitlines() if " " in line)
        check("started" in said and "tree" in said, f"the job did not tell what it found: {output.read_text()[:300]}")
        expected = tree_of(self._bench, self._source)
        check(f"tree {said['tree']}" == expected, f"the job found {said['tree']}, the source is {expected}")
        return (int(said["started"]) - run.started_ns) / 1e9

    def wire(self, new_content):
        """(all bytes, bytes of the pack) since the last call. Nothing need be sent of a snapshot the agent has."""
        counts = self._proxy.take()
        check(any(path == "/v1/jobs" for _, path, *_ in counts), "no submission passed the proxy")
        about = [count for count in counts if count[1].startswith("/v1/snapshots")]
        check(about or not new_content, "a changed tree was submitted, and nothing about a snapshot was sent")
        return sum(sent + received for _, _, _, sent, received in about), sum(body for _, _, body, _, _ in about)

    def stop(self):
        self._proxy.stop()
        self._node.stop()


class Lab:
    """One source tree and everybody's copy of it, from the first transfer on."""

    def __init__(self, bench, source, peers):
        self._bench, self._source = bench, source
        self._berth = Berth(bench, source)
        self._peers = {peer.name: peer(bench, source) for peer in peers}
        self._turn = 0

    def _by_berth(self, new_content):
        self._bench.touch_memory(512)
        took = self._berth.sync()
        return Moved(took, *self._berth.wire(new_content))

    def _by_peer(self, peer):
        self._bench.touch_memory(512)
        took = peer.sync()
        copied, expected = tree_of(self._bench, peer.copy), tree_of(self._bench, self._source)
        check(copied == expected, f"{peer.name} copied {copied}, the source is {expected}")
        return Moved(took, peer.wire_bytes())

    def sync_all(self, new_content=True):
        """{name: Moved}, each time in another order."""
        time.sleep(0.05)  # so that no stat cache needs to doubt a change of just now
        ways = {"berth": lambda: self._by_berth(new_content)} | {
            name: (lambda peer=peer: self._by_peer(peer)) for name, peer in self._peers.items()
        }
        names = list(ways)
        self._turn += 1
        order = [names[(at + self._turn) % len(names)] for at in range(len(names))]
        return {name: ways[name]() for name in order}

    def stop(self):
        self._berth.stop()


def collect(results, operation, moved):
    for name, value in moved.items():
        results.setdefault(operation, {}).setdefault(name, []).append(value)


def measure_code(bench, results):
    tree = trees.make_code(bench)
    lab, changes = Lab(bench, tree, [Rsync, Git]), trees.Changes(tree)
    collect(results, "first", lab.sync_all())
    for _ in range(EDITS):
        changes.edit_a_line()
        collect(results, "edit", lab.sync_all())
    changes.rename_a_package()
    collect(results, "rename", lab.sync_all())
    changes.touch_all()
    collect(results, "touch", lab.sync_all(new_content=False))
    collect(results, "same", lab.sync_all(new_content=False))
    lab.stop()


def measure_weights(bench, results):
    tree = trees.make_weights(bench)
    lab, changes = Lab(bench, tree, [Rsync]), trees.Changes(tree)
    collect(results, "weights", lab.sync_all())
    changes.insert_a_byte()
    collect(results, "insert", lab.sync_all())
    lab.stop()


def measure(bench):
    results = {}
    for _ in range(bench.rounds(3, 1)):
        measure_code(bench, results)
        measure_weights(bench, results)
    one_line = "10,000 files, 80 MB, one line changed"
    rows = [
        time_row(results, "edit", "rsync", f"{one_line}: time"),
        bytes_row(results, "edit", "git", f"{one_line}: bytes"),
        time_row(results, "same", "rsync", "10,000 files, nothing changed: time", goal=False),
    ]
    for operation, peer, what in (
        ("rename", "git", "directory of 1,000 renamed"),
        ("touch", "git", "all 10,000 touched"),
        ("first", "rsync", "first transfer, 10,000 files, 80 MB"),
        ("weights", "rsync", "first transfer, 4 × 50 MB of weights"),
        ("insert", "rsync", "1 byte inserted into 50 MB"),
    ):
        rows += [time_row(results, operation, peer, f"{what}: time"), bytes_row(results, operation, peer, f"{what}: bytes")]
    return rows


def samples_of(results, operation):
    return {name: [vars(moved) for moved in moves] for name, moves in results[operation].items()}


def time_row(results, operation, peer, what, goal=True):
    times = {name: [moved.seconds for moved in moves] for name, moves in results[operation].items()}
    figure, theirs = median(times["berth"]), median(times[peer])
    others = [f"{name} {milliseconds(median(values))}" for name, values in times.items() if name not in ("berth", peer)]
    return Row(
        what,
        milliseconds(figure),
        f"{milliseconds(theirs)} {peer_in_words(peer)}",
        figure / theirs,
        "≤ 1.0 ×" if goal else "",
        figure <= theirs if goal else None,
        "; ".join([f"fastest {milliseconds(min(times['berth']))} and {milliseconds(min(times[peer]))}"] + others),
        samples_of(results, operation),
    )


def bytes_row(results, operation, peer, what):
    amounts = {name: [moved.bytes for moved in moves] for name, moves in results[operation].items()}
    pack = median([moved.body for moved in results[operation]["berth"]])
    figure, theirs = median(amounts["berth"]), median(amounts[peer])
    others = [f"{name} {size(median(values))}" for name, values in amounts.items() if name not in ("berth", peer)]
    return Row(
        what,
        size(figure),
        f"{size(theirs)} {peer_in_words(peer)}",
        figure / theirs if theirs else None,
        "≤ 1.0 ×",
        figure <= theirs,
        "; ".join([f"the pack alone {size(pack)}"] + others),
        samples_of(results, operation),
    )


def peer_in_words(peer):
    return {"rsync": "`rsync -az`", "git": "git commit, push, checkout"}[peer]
