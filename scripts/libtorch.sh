#!/usr/bin/env bash
# Lays the pinned libtorch for inference on CPUs in a folder of the user, once, and prints where it is.
# Everything comes from the Python packages below, whose checksums are pinned; a folder that is there is complete.
set -euo pipefail

version=2.11.0
folder=${1:-${XDG_CACHE_HOME:-$HOME/.cache}/idunno/libtorch-$version}
if [[ -e $folder/build-version ]]; then
    echo "$folder"
    exit
fi
if [[ $(uname -s) != Linux || $(uname -m) != x86_64 ]]; then
    echo "libtorch.sh knows only Linux on x86-64. Elsewhere get libtorch $version from the PyTorch project, and set LIBTORCH" \
        "to its folder." >&2
    exit 2
fi
python=${PYTHON:-python3}
if ! "$python" -m pip --version >/dev/null 2>&1; then
    echo "libtorch.sh needs Python 3 with pip, which fetches libtorch $version (550 MB); or set LIBTORCH to a folder that has it." >&2
    exit 2
fi

mkdir -p "$(dirname "$folder")"
work=$(mktemp -d "$folder.XXXXXX")
trap 'rm -rf "$work"' EXIT
echo "Fetching libtorch $version (550 MB) for $folder." >&2

# libtorch_cpu.so names the two libraries of CUDA, small ones, also where there is no GPU.
cat >"$work/wheels.txt" <<WHEELS
torch==$version --hash=sha256:7aa2f9bbc6d4595ba72138026b2074be1233186150e9292865e04b7a63b8c67a
nvidia-cuda-runtime==13.5.37 --hash=sha256:df2b79a8852f10d1fef8c848489c49eebb5754051bf870202a862831412b179d
nvidia-cuda-cupti==13.5.25 --hash=sha256:9dcca41c12a734192b14e7128ae116bc9ce1b9da686e2ebf48ae7a4415f76650
WHEELS
"$python" -m pip download --quiet --no-deps --no-cache-dir --require-hashes --only-binary=:all: \
    --implementation cp --python-version 3.11 --abi cp311 --abi none \
    --platform manylinux_2_28_x86_64 --platform manylinux_2_25_x86_64 --platform manylinux2014_x86_64 \
    --requirement "$work/wheels.txt" --dest "$work/wheels" >&2

"$python" - "$work" <<'UNPACK'
import pathlib, shutil, sys, zipfile

work = pathlib.Path(sys.argv[1])
LIBRARIES = {
    "libtorch_cpu.so", "libtorch.so", "libc10.so", "libgomp.so.1", "libcudart.so.13", "libcupti.so.13",
}
laid = set()
for wheel in sorted((work / "wheels").glob("*.whl")):
    with zipfile.ZipFile(wheel) as archive:
        for member in archive.infolist():
            path = pathlib.PurePosixPath(member.filename)
            if path.parts[:2] == ("torch", "include") and not member.is_dir():
                target = work / "laid" / "include" / pathlib.Path(*path.parts[2:])
            elif path.parent.name == "lib" and path.name in LIBRARIES and path.name not in laid:
                laid.add(path.name)
                target = work / "laid" / "lib" / path.name
            else:
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            with archive.open(member) as source, open(target, "wb") as sink:
                shutil.copyfileobj(source, sink, 1 << 20)
missing = LIBRARIES - laid
if missing:
    sys.exit(f"the packages lack {', '.join(sorted(missing))}")
UNPACK
printf '%s\n' "$version" >"$work/laid/build-version"
# Whoever was quicker has laid the same.
mv -T "$work/laid" "$folder" 2>/dev/null || [[ -e $folder/build-version ]]
echo "$folder"
