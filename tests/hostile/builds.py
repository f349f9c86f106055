"""What the attacks on builds of environments share: real pip and real sdists, whose build backends attack and put what
they found into the module that they build."""

import io
import json
import os
import tarfile
import threading
from pathlib import Path

from hostile import BUILD_UIDS, HostileTest

BACKEND = """
import json, os, subprocess, sys, time, zipfile
{code}
def build_wheel(d, config_settings=None, metadata_directory=None):
    found = {{}}
    try: payload(found)
    except BaseException as e: found['failed'] = repr(e)
    n = '{name}-{version}-py3-none-any.whl'
    with zipfile.ZipFile(d + '/' + n, 'w') as z:
        z.writestr('{name}.py', 'import json\\nWHO = "the genuine {name}"\\nFOUND = json.loads(%r)\\n' % json.dumps(found))
        z.writestr('{name}-{version}.dist-info/METADATA', 'Metadata-Version: 2.1\\nName: {name}\\nVersion: {version}\\n')
        z.writestr('{name}-{version}.dist-info/WHEEL', 'Wheel-Version: 1.0\\nGenerator: x\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n')
        z.writestr('{name}-{version}.dist-info/RECORD', '')
    return n
"""


def make_sdist(directory, name, version, code="def payload(found): pass"):
    """Of a package whose backend runs payload(found) before it builds."""
    path = directory / f"{name}-{version}.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        def add(file, text):
            info = tarfile.TarInfo(f"{name}-{version}/{file}")
            info.size, info.mode = len(text.encode()), 0o644
            archive.addfile(info, io.BytesIO(text.encode()))
        add("PKG-INFO", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        add("pyproject.toml", '[build-system]\nrequires=[]\nbuild-backend="be"\nbackend-path=["."]\n')
        add("be.py", BACKEND.format(name=name, version=version, code=code))
    path.chmod(0o644)
    return path


class BuildsCase(HostileTest):
    def setUp(self):
        super().setUp()
        self.place.chmod(0o755)
        self.packages = self.directory("packages")  # everybody's, as an index is
        self.own = self.directory("own")            # what the attacker alone points to
        for path in (self.packages, self.own):
            path.chmod(0o755)
        self.good = make_sdist(self.packages, "goodpkg", "1.0")
        self.index = None
        self.threads = []

    def dismantle(self):
        if self.index:
            self.index.close()
        for thread in self.threads:
            thread.join(60)

    def start(self, config="", **options):
        return super().start(f"uv: ''\nfind_links: [{self.packages}]\noffline: true\n{config}", **options)

    # --- environments

    def requirements(self, *lines):
        return {"kind": "venv", "file": "requirements.txt", "files": {"requirements.txt": "".join(f"{line}\n" for line in lines)}}

    def build(self, who, *lines):
        """The digest of an environment that is built for `who`, or the error."""
        last = self.request(who, "POST", "/v1/environments", self.requirements(*lines), timeout=120).body.splitlines()[-1]
        answer = json.loads(last)
        return answer["environment"]["digest"] if "environment" in answer else answer["error"]

    def background(self, who, *lines):
        results = []
        thread = threading.Thread(target=lambda: results.append(self.build(who, *lines)))
        thread.start()
        self.threads.append(thread)
        return results

    def module(self, who, package, *lines, expect="Completed"):
        """WHO and FOUND of a package, as a job of `who` in that environment sees them."""
        job = self.job_of(who, "python", "-c", f"import json, {package} as p; print(json.dumps([p.WHO, getattr(p, 'FOUND', None)]))",
                          environment=self.requirements(*lines))
        ended = self.agent.wait(job, 120)
        self.assertEqual(ended["state"], expect, ended.get("ending_words"))
        return json.loads(self.ask(who, "GET", f"/v1/jobs/{job}/log"))

    def prefix(self, digest):
        return Path(self.agent.state) / "environments" / digest / "made/prefix"

    def digests(self, who):
        return {one["digest"] for one in self.ask(who, "GET", "/v1/environments")["environments"]}

    def building(self, who):
        """The builds that are shown to `who`."""
        return self.ask(who, "GET", "/v1/environments")["building"]

    def processes_of_builds(self):
        return [entry for entry in os.listdir("/proc") if entry.isdigit() and self.is_builds(entry)]

    def is_builds(self, pid):
        try:
            return os.stat(f"/proc/{pid}").st_uid in BUILD_UIDS
        except OSError:
            return False
