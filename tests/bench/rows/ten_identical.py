"""Ten `berth run` at once of a job whose environment is not there yet, against one such command alone."""

import packages
from harness import check, in_turn, median
from node import Node
from report import Row, seconds

COUNT = 10


class Lab:
    def __init__(self, bench):
        self._bench = bench
        self._wheels = packages.make_wheels(bench)
        self._node = Node(bench, max_parallel=COUNT, settings=packages.settings(self._wheels))
        self._jobs = 0

    def files(self, count):
        """As many as submissions, which mean the same and are not the same; and nothing that was asked for before."""
        mark = self._bench.path("mark").name
        files = [self._bench.path("requirements.txt") for _ in range(count)]
        for number, file in enumerate(files):
            file.write_text("\n".join([f"# {number}", *packages.NAMES, f"{mark} ; python_version < '2'"]) + "\n")
        return files

    def builds(self):
        """That the agent has begun so far."""
        return self._node.log().count("build started")

    def run(self, count):
        """Gives (seconds until all have ended, builds)."""
        output, before = self._bench.path("output"), self.builds()
        # Written in one piece: ten at once write to the same file.
        command = "python -c 'import bench0, sys; sys.stdout.write(sys.prefix + chr(10))'"
        berth = f"{self._node.command()[0]} run --no-code --requirements"
        script = "".join(f'{berth} {file} -- {command} & all="$all $!"\n' for file in self.files(count))
        script += "for each in $all; do wait $each || exit 1; done"
        took = self._bench.run(script, environment=self._node.environment, output=output).seconds
        self._jobs += count
        self._node.check_all_completed(self._jobs)
        prefixes = output.read_text().split()
        check(len(prefixes) == count and len(set(prefixes)) == 1, f"{count} jobs ran in {sorted(set(prefixes))}")
        return took, self.builds() - before

    def stop(self):
        self._node.stop()


def measure(bench):
    lab = Lab(bench)
    lab.run(1)
    results = in_turn({"ten": lambda: lab.run(COUNT), "one": lambda: lab.run(1)}, bench.rounds(5, 2))
    lab.stop()
    times = {name: [took for took, _ in values] for name, values in results.items()}
    builds = max(count for _, count in results["ten"])
    ten, one = median(times["ten"]), median(times["one"])
    return [
        Row(
            "ten identical submissions: environments built",
            str(builds),
            goal="1",
            met=builds == 1,
            samples={name: [count for _, count in values] for name, values in results.items()},
        ),
        Row(
            "ten identical submissions, until all have ended",
            seconds(ten),
            f"{seconds(one)} one alone",
            ten / one,
            note=f"fastest {seconds(min(times['ten']))} and {seconds(min(times['one']))}",
            samples=times,
        ),
    ]
