"""SavedModels in archives: what is taken, what is refused, and that no name of an archive reaches the file system."""

import io
import tarfile
import zipfile
from collections.abc import Sequence

import pytest
from tensorflow_models import case

from serving.core.errors import (
    DamagedModelError,
    HostileModelError,
    ModelLimitError,
    ModelRefusedError,
    UnsupportedModelError,
)
from serving.scorers.base import Artifact
from serving.scorers.tensorflow.archive import read_directory, read_files
from serving.scorers.tensorflow.engine import SavedModelEngine

LIMIT = 32 << 20
Members = Sequence[tuple[str, bytes]]


def model_files(folder: str = "") -> list[tuple[str, bytes]]:
    root = case("resource_variables").saved_model
    return [
        (folder + path.relative_to(root).as_posix(), path.read_bytes())
        for path in sorted(root.rglob("*"))
        if path.is_file()
    ]


def zipped(members: Members, compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, data in members:
            archive.writestr(zipfile.ZipInfo(name), data, compress_type=compression)
    return file.getvalue()


def tarred(members: Members, mode: str = "w:gz", special: tuple[str, bytes, str] | None = None) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode=mode) as archive:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
        if special is not None:
            info = tarfile.TarInfo(special[0])
            info.type, info.linkname = special[1], special[2]
            archive.addfile(info)
    return file.getvalue()


@pytest.mark.parametrize("folder", ["", "1/", "wine/1/", "./"])
@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_a_tar_gives_its_files_whatever_folder_they_are_in(folder, mode):
    assert read_files(tarred(model_files(folder), mode), LIMIT) == dict(model_files())


@pytest.mark.parametrize("folder", ["", "1/", "wine/1/"])
@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_zip_gives_its_files_whatever_folder_they_are_in(folder, compression):
    assert read_files(zipped([*([("1/", b"")] if folder else []), *model_files(folder)], compression), LIMIT) == dict(
        model_files()
    )


def test_a_directory_gives_its_files():
    assert read_directory(case("resource_variables").saved_model, LIMIT) == dict(model_files())


@pytest.mark.parametrize("make", [zipped, tarred])
def test_a_model_scores_the_same_from_an_archive_as_from_its_directory(make):
    from tensorflow_scoring import load, reference

    direct = load("resource_variables")
    features, _ = reference(case("resource_variables"), direct.signature)

    packed = SavedModelEngine().load(Artifact(make(model_files("1/"))))

    assert packed.signature == direct.signature
    assert (packed.score(features).columns["quality"] == direct.score(features).columns["quality"]).all()


HOSTILE_NAMES = ["../../etc/x", "/etc/x", "a/../../saved_model.pb", "..\\x", "C:\\x", "1/../variables/variables.index"]


@pytest.mark.parametrize("name", HOSTILE_NAMES)
@pytest.mark.parametrize("make", [zipped, tarred])
def test_a_name_that_leads_out_is_hostile(make, name):
    with pytest.raises(HostileModelError, match="leads out"):
        read_files(make([*model_files(), (name, b"x")]), LIMIT)


@pytest.mark.parametrize(
    "name", ["assets/words.txt", "x.py", "variables/variables.data-0-of-1", "a/b/c/d/saved_model.pb"]
)
@pytest.mark.parametrize("make", [zipped, tarred])
def test_a_file_that_no_servable_model_has_is_refused(make, name):
    with pytest.raises(UnsupportedModelError, match="none of the files"):
        read_files(make([*model_files(), (name, b"x")]), LIMIT)


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_a_link_or_special_file_in_a_tar_is_hostile(kind):
    with pytest.raises(HostileModelError, match="link or a special file"):
        read_files(
            tarred(model_files(), special=("variables/variables.data-00001-of-00002", kind, "/etc/passwd")), LIMIT
        )


def test_a_link_in_a_zip_is_hostile():
    file = io.BytesIO(zipped(model_files()))
    with zipfile.ZipFile(file, "a") as archive:
        info = zipfile.ZipInfo("fingerprint2.pb")
        info.external_attr = 0o120777 << 16
        archive.writestr(info, "/etc/passwd")

    with pytest.raises(HostileModelError, match="link or a special file"):
        read_files(file.getvalue(), LIMIT)


def test_a_link_in_a_directory_is_hostile(tmp_path):
    (tmp_path / "saved_model.pb").symlink_to("/etc/passwd")

    with pytest.raises(HostileModelError, match="link"):
        read_directory(tmp_path, LIMIT)


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("make", [zipped, tarred])
def test_two_files_of_one_name_are_hostile(make):
    with pytest.raises(HostileModelError, match="twice"):
        read_files(make([*model_files(), model_files()[-1]]), LIMIT)


@pytest.mark.parametrize("make", [zipped, tarred])
def test_two_models_are_hostile(make):
    with pytest.raises(HostileModelError, match="second model"):
        read_files(make([*model_files("1/"), *model_files("2/")]), LIMIT)


@pytest.mark.parametrize("make", [zipped, tarred])
def test_a_bomb_is_refused_before_it_is_expanded(make):
    bomb = make([("saved_model.pb", bytes(48 << 20))])

    with pytest.raises((HostileModelError, ModelLimitError)):
        read_files(bomb, 1 << 30)


def test_a_tar_whose_header_lies_about_its_size_is_refused():
    whole = bytearray(tarred(model_files(), "w"))
    whole[124:136] = b"77777777777\0"
    checksum = sum(whole[:148]) + 8 * 32 + sum(whole[156:512])
    whole[148:156] = f"{checksum:06o}\0 ".encode()

    with pytest.raises(ModelRefusedError):
        read_files(bytes(whole), LIMIT)


@pytest.mark.parametrize("make", [zipped, tarred])
def test_too_many_members_are_refused(make):
    shards = [(f"variables/variables.data-{number:05d}-of-00300", b"") for number in range(300)]

    with pytest.raises(ModelLimitError, match="more than 256"):
        read_files(make([*model_files(), *shards]), LIMIT)


@pytest.mark.parametrize("make", [zipped, tarred])
def test_more_bytes_than_the_limit_are_refused_with_the_limit(make):
    with pytest.raises(ModelLimitError, match="1000"):
        read_files(make(model_files()), 1000)


@pytest.mark.parametrize("payload", [b"", b"no archive at all", b"PK\x05\x06", b"\x1f\x8b\x08", b"<PMML/>"])
def test_what_is_no_archive_is_damaged(payload):
    with pytest.raises(DamagedModelError):
        read_files(payload, LIMIT)


def test_an_archive_without_a_model_is_damaged():
    with pytest.raises(DamagedModelError, match=r"no saved_model\.pb"):
        read_files(zipped([("variables/variables.index", b"x")]), LIMIT)
