"""Wheels for pip, made here: nothing comes from the network."""

import zipfile


def make_wheel(directory, name, version, needs=()):
    """Of a package with one module, NAME, whose `version` tells which it is."""
    about = f"{name}-{version}.dist-info"
    files = {f"{name}.py": f'version = "{version}"\n',
             f"{about}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
                                  + "".join(f"Requires-Dist: {need}\n" for need in needs),
             f"{about}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"}
    files[f"{about}/RECORD"] = "".join(f"{file},,\n" for file in files) + f"{about}/RECORD,,\n"
    with zipfile.ZipFile(directory / f"{name}-{version}-py3-none-any.whl", "w") as archive:
        for path, text in files.items():
            archive.writestr(path, text)
