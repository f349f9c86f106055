#include "runtime/environment/conda_script.hpp"

namespace berth::environment::conda {

// What `conda activate` does, without conda: its shell code is this and nothing else, and not every tool has
// it in the same form. activate.d is the contract between packages and tools
// (docs.conda.io/projects/conda-build/en/latest/resources/activate-scripts.html); variables come before its
// scripts.
const char* const kActivate = R"sh(
export PATH="$PREFIX/bin:$PATH" CONDA_PREFIX="$PREFIX" CONDA_DEFAULT_ENV="$PREFIX" CONDA_SHLVL=1
unset PREFIX CACHE
. ./package_variables.sh
. ./variables.sh
activate() {
  for script in "$CONDA_PREFIX"/etc/conda/activate.d/*.sh; do
    [ ! -r "$script" ] || . "$script"
  done
}
activate >&2
exec "$@"
)sh";

const char* const kDescribe = R"py(
import io, json, os, re, sys

PREFIX = os.environ['PREFIX']
NOT_OF_ACTIVATION = {'_', 'SHLVL', 'PWD', 'OLDPWD', 'PATH', 'HOME', 'TMPDIR', 'PREFIX', 'CACHE'}


def read(path):
    with io.open(path, encoding='utf-8', errors='replace', newline='') as file:
        return file.read()


def json_files(folder):
    folder = os.path.join(PREFIX, folder)
    names = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
    return [json.loads(read(os.path.join(folder, name))) for name in names if name.endswith('.json')]


def exports():
    for variables in json_files('etc/conda/env_vars.d'):
        for name, value in sorted(variables.items()):
            if re.match('[A-Za-z_][A-Za-z0-9_]*$', name):
                print('export %s=\'%s\'' % (name.upper(), str(value).replace('\'', '\'"\'"\'')))


def normal(name):
    return re.sub('[-_.]+', '-', name).lower()


def plain(url):  # without credentials
    return re.sub(r'^([a-z+]+://[^/]+)/t/[^/]+/', r'\1/', re.sub(r'//[^/@]*@', '//', url))


def in_link_order(records):  # as `conda list --explicit`: what a package depends on stands before it
    by_name = dict((record['name'], record) for record in records)
    ordered, seen = [], set()

    def add(name):
        if name in seen or name not in by_name:
            return
        seen.add(name)
        for depends in sorted(by_name[name].get('depends') or []):
            add(depends.split()[0])
        ordered.append(by_name[name])

    for name in ['python'] + sorted(by_name):
        add(name)
    return ordered


def explicit(record):
    url = plain(record['url'])
    return url + '#' + record['md5'] if record.get('md5') else url


def about(path):  # (name, version) of a distribution by its metadata; nothing where it has none
    for name in ('METADATA', 'PKG-INFO', ''):
        file = os.path.join(path, name) if name else path
        if os.path.isfile(file):
            text = read(file)
            found = [re.search('^%s:(.*)$' % key, text, re.MULTILINE) for key in ('Name', 'Version')]
            return tuple(match.group(1).strip() for match in found) if all(found) else None


def frozen(path, name, version):  # as `pip freeze --all` prints it, which would take longer than all the rest
    source = os.path.join(path, 'direct_url.json')
    if not os.path.isfile(source):
        return name + '==' + version
    source = json.loads(read(source))  # packaging.python.org/en/latest/specifications/direct-url/
    url, fragment = plain(source['url']), []
    if 'vcs_info' in source:
        url = source['vcs_info']['vcs'] + '+' + url + '@' + source['vcs_info']['commit_id']
    elif source.get('archive_info', {}).get('hash'):
        fragment.append(source['archive_info']['hash'])
    if source.get('subdirectory'):
        fragment.append('subdirectory=' + source['subdirectory'])
    return name + ' @ ' + url + ('#' + '&'.join(fragment) if fragment else '')


def installed_by_pip(records):  # normal name -> (name, version, frozen) of what no conda package brought
    brought = set()
    for record in records:
        for path in record.get('files') or []:
            brought.add(path)
            brought.add(os.path.dirname(path))
    found = {}
    for folder in sys.path:
        if not folder.startswith(PREFIX + '/') or not os.path.isdir(folder):
            continue
        for entry in os.listdir(folder):
            path = os.path.join(folder, entry)
            if entry.endswith(('.dist-info', '.egg-info')) and os.path.relpath(path, PREFIX) not in brought:
                known = about(path)
                if known:
                    found[normal(known[0])] = known + (frozen(path, *known),)
    return found


def environment(path):
    pairs = [pair.partition('=') for pair in read(path).split('\0') if '=' in pair]
    return dict((name, value) for name, _, value in pairs)


def activation():  # (variables, directories of PATH)
    before, after = environment('before'), environment('after')
    own = [os.getcwd(), os.environ['TMPDIR']]
    variables = {}
    for name, value in after.items():
        if name in NOT_OF_ACTIVATION or before.get(name) == value or not re.match('[A-Za-z_][A-Za-z0-9_]*$', name):
            continue
        if any(directory in value.replace(PREFIX, '') for directory in own):
            sys.stderr.write('activation sets %s to a place that goes with this build; left out\n' % name)
            continue
        variables[name] = value
    known = before['PATH'].split(':')
    added = [directory for directory in after['PATH'].split(':') if directory and directory not in known]
    inside = [directory for directory in added if directory.startswith(PREFIX + '/')]
    return variables, inside + [directory for directory in added if directory not in inside]


def result():
    records = json_files('conda-meta')
    by_pip = installed_by_pip(records)
    packages = dict((normal(record['name']), record['name'] + '==' + record['version']) for record in records)
    packages.update((key, name + '==' + version) for key, (name, version, _) in by_pip.items())
    variables, path = activation()
    lock = dict(json.loads(read('lock.json')), kind='conda')
    lock['explicit'] = [explicit(record) for record in in_link_order(records)]
    lock['pip'] = [by_pip[name][2] for name in sorted(by_pip)]
    answer = {'interpreter': PREFIX + '/bin/python', 'path_prefix': ':'.join(path), 'variables': variables,
              'python_version': sys.version.split()[0], 'packages': [packages[name] for name in sorted(packages)],
              'lock': lock}
    with open('result.json.new', 'w') as file:
        json.dump(answer, file)
    os.rename('result.json.new', 'result.json')


{'exports': exports, 'result': result}[sys.argv[1]]()
)py";

const char* const kBuild = R"sh(
fail() { echo "$*" >&2; exit 1; }
clean() { env -i HOME="$HOME" TMPDIR="$TMPDIR" PATH="$PATH" LC_ALL=C.UTF-8 PREFIX="$PREFIX" "$@"; }

umask 022
export PIP_CACHE_DIR="$CACHE/pip" PIP_CONFIG_FILE=/dev/null PIP_NO_INPUT=1 PIP_DISABLE_PIP_VERSION_CHECK=1
export PIP_ROOT_USER_ACTION=ignore PYTHONNOUSERSITE=1
export MAMBA_NO_BANNER=1 CONDA_NUMBER_CHANNEL_NOTICES=0 CONDA_REPORT_ERRORS=false CONDA_REGISTER_ENVS=false
mkdir -p "$CONDA_PKGS_DIRS" "$TMPDIR"
# Scripts of packages are written for bash.
shell=/bin/sh
[ ! -x /bin/bash ] || shell=/bin/bash

: >package_variables.sh
# Channels may have credentials, so they stand in a file that goes with the build.
set --
while IFS= read -r argument; do set -- "$@" "$argument"; done <arguments
create "$@"
python=$PREFIX/bin/python
[ -x "$python" ] || fail "the environment has no python"
[ ! -d "$PREFIX/etc/conda/env_vars.d" ] || clean "$python" describe.py exports >package_variables.sh

if [ -s requirements.txt ]; then
  echo "installing the pip part"
  set --
  while IFS= read -r argument; do set -- "$@" "$argument"; done <pip_arguments
  "$shell" ./activate.sh "$python" -m pip install "$@" --requirement requirements.txt
fi

# As it is before and after, by one shell.
clean "$shell" -c '/usr/bin/env -0 >before; set -- /usr/bin/env -0; . ./activate.sh >after' || true
[ -s after ] || fail "activation failed: a script of $PREFIX/etc/conda/activate.d ended the shell"
"$python" describe.py result
)sh";

}  // namespace berth::environment::conda
