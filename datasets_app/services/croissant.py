"""A version as Croissant 1.1 (JSON-LD, docs.mlcommons.org/croissant): its files, and the columns of its tables."""

from __future__ import annotations

import hashlib
import mimetypes
import re
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from django.urls import reverse

from datasets_app.models import File
from datasets_app.previews.registry import modality
from datasets_app.services.browsing import find_file
from datasets_app.services.downloads import sealed_root
from datasets_app.services.manifests import manifest_lines
from datasets_app.services.previewing import preview_file
from datasets_app.services.walking import WalkedFile, walk_files

if TYPE_CHECKING:
    from collections.abc import Iterable

    from datasets_app.models import User, Version

# Larger versions are described by their manifest and by sets of files.
MOST_FILES: Final = 5_000
# Each costs a look into one file, which is kept.
MOST_TABLES: Final = 20
MANIFEST: Final = "manifest.ndjson"
READMES: Final = ("README.md", "readme.md", "Readme.md")
SPECIFICATION: Final = "http://mlcommons.org/croissant/1.1"
FORMATS: Final = {
    ".parquet": "application/x-parquet",
    ".jsonl": "application/jsonlines",
    ".ndjson": "application/jsonlines",
    ".csv": "text/csv",
    ".tsv": "text/tab-separated-values",
    ".md": "text/markdown",
    ".zip": "application/zip",
    ".tar": "application/x-tar",
}
# Tables whose columns the format's readers find by name.
READABLE: Final = (".parquet", ".csv", ".tsv", ".jsonl", ".ndjson")
CONTEXT: Final[dict[str, Any]] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "arrayShape": "cr:arrayShape",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "containedIn": "cr:containedIn",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "description": {"@container": "@language"},
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileProperty": "cr:fileProperty",
    "fileObject": "cr:fileObject",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isArray": "cr:isArray",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "name": {"@container": "@language"},
    "parentField": "cr:parentField",
    "path": "cr:path",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}


def describe_as_croissant(actor: User, *, version: Version, origin: str) -> dict[str, Any]:
    """Return the document; `origin` is what this server's addresses begin with, without a slash at the end."""
    root = sealed_root(actor, version=version)
    dataset = version.dataset
    place = (dataset.team.name, dataset.name, version.number)
    api = f"{origin}{reverse('api:read_manifest', args=place)}".removesuffix("/manifest")
    document: dict[str, Any] = {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": SPECIFICATION,
        "name": dataset.name,
        "description": dataset.description or f"The dataset {dataset.name} of {dataset.team.name}.",
        "url": f"{origin}{reverse('version_detail', args=place)}",
        "version": f"{version.number}.0.0",
        "identifier": version.digest,
        "citeAs": f"{dataset.team.name}: {version.label}, {version.digest}",
        "creator": {"@type": "sc:Organization", "name": dataset.team.name},
        "keywords": sorted(dataset.tags.values_list("name", flat=True)),
        **({"datePublished": version.sealed_at.isoformat()} if version.sealed_at else {}),
        **_license(version, actor),
    }
    is_large = root.file_count > MOST_FILES
    files: Iterable[WalkedFile] = walk_files(root)
    if is_large:
        document["distribution"] = [_manifest_object(version, api), *_sets(files)]
        document["recordSet"] = []
        return document
    found = list(files)
    groups = _table_groups(found)
    document["distribution"] = [_file_object(file, api) for file in found]
    document["recordSet"] = []
    for group in groups[:MOST_TABLES]:
        columns = _columns(find_file(actor, version=version, path=group[0].path))
        if columns:
            if len(group) > 1:
                document["distribution"].append(_table_set(group))
            document["recordSet"].append(_record_set(group, columns))
    return document


def _license(version: Version, actor: User) -> dict[str, str]:
    """Take the licence that the front matter of the README names."""
    if version.root is None:
        return {}
    names = set(File.objects.filter(directory=version.root, name__in=READMES).values_list("name", flat=True))
    for name in sorted(names):
        page = preview_file(find_file(actor, version=version, path=name)).page
        for label, value in page.facts if page is not None else []:
            if label.lower() in {"license", "licence"}:
                return {"license": value}
    return {}


def _id(text: str) -> str:
    """Make a name an identifier: readers of the format stumble over spaces and what has a meaning in addresses."""
    safe = re.sub(r"[^A-Za-z0-9._/-]", "_", text)
    return text if safe == text else f"{safe}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def _encoding(path: str) -> str:
    suffix = _suffix(path)
    return FORMATS.get(suffix) or mimetypes.guess_type(f"x{suffix}")[0] or "application/octet-stream"


def _suffix(path: str) -> str:
    name = path.rpartition("/")[2]
    stem, dot, last = name.rpartition(".")
    return f".{last.lower()}" if dot and stem else ""


def _file_object(file: WalkedFile, api: str) -> dict[str, Any]:
    return {
        "@type": "cr:FileObject",
        "@id": _id(file.path),
        "name": file.path,
        "contentUrl": f"{api}/files/{quote(file.path)}",
        "contentSize": f"{file.size} B",
        "encodingFormat": _encoding(file.path),
        "sha256": file.sha256.hex(),
    }


def _manifest_object(version: Version, api: str) -> dict[str, Any]:
    digest, size = hashlib.sha256(), 0
    for block in manifest_lines(version):
        digest.update(block)
        size += len(block)
    return {
        "@type": "cr:FileObject",
        "@id": MANIFEST,
        "name": MANIFEST,
        "description": "One JSON object a line for each file: path, size in bytes, sha256.",
        "contentUrl": f"{api}/manifest",
        "contentSize": f"{size} B",
        "encodingFormat": "application/jsonlines",
        "sha256": digest.hexdigest(),
    }


def _sets(files: Iterable[WalkedFile]) -> list[dict[str, Any]]:
    """Make a set of the files of each ending."""
    counts: dict[str, int] = {}
    for file in files:
        suffix = _suffix(file.path)
        counts[suffix] = counts.get(suffix, 0) + 1
    most = sorted(counts, key=lambda suffix: (-counts[suffix], suffix))[:100]
    return [
        {
            "@type": "cr:FileSet",
            "@id": _id(f"files{suffix or '-without-ending'}"),
            "name": f"files{suffix or '-without-ending'}",
            "description": f"{counts[suffix]:,} files, in this server's manifest.",
            "containedIn": {"@id": MANIFEST},
            "encodingFormat": _encoding(f"x{suffix}"),
            "includes": f"**/*{suffix}",
        }
        for suffix in most
    ]


def _table_groups(files: list[WalkedFile]) -> list[list[WalkedFile]]:
    """Gather the tables of a folder that have the same ending: they are parts of one table."""
    groups: dict[tuple[str, str], list[WalkedFile]] = {}
    for file in files:
        suffix = _suffix(file.path)
        if suffix in READABLE and modality(file.path) == "table":
            groups.setdefault((file.path.rpartition("/")[0], suffix), []).append(file)
    return list(groups.values())


def _group_name(group: list[WalkedFile]) -> str:
    path = group[0].path
    folder = path.rpartition("/")[0]
    suffix = _suffix(path)
    return path.removesuffix(suffix) if len(group) == 1 else f"{folder or 'all'}{suffix.replace('.', '-')}"


def _table_set(group: list[WalkedFile]) -> dict[str, Any]:
    folder = group[0].path.rpartition("/")[0]
    return {
        "@type": "cr:FileSet",
        "@id": _id(f"{_group_name(group)}-files"),
        "name": f"{_group_name(group)}-files",
        "containedIn": [{"@id": _id(file.path)} for file in group],
        "encodingFormat": _encoding(group[0].path),
        "includes": f"{folder}/*{_suffix(group[0].path)}".lstrip("/"),
    }


def _columns(file: File) -> list[dict[str, str]]:
    shown = preview_file(file)
    columns = shown.page.data.get("columns", []) if shown.kind == "table" and shown.page is not None else []
    # The format refers to columns by their names alone.
    return [{"name": str(column["name"]), "type": str(column["type"])} for column in columns if column["name"]]


def _record_set(group: list[WalkedFile], columns: list[dict[str, str]]) -> dict[str, Any]:
    name = _group_name(group)
    source = {"fileObject": {"@id": _id(group[0].path)}}
    if len(group) > 1:
        source = {"fileSet": {"@id": _id(f"{name}-files")}}
    return {
        "@type": "cr:RecordSet",
        "@id": _id(f"{name}-records"),
        "name": f"{name}-records",
        "field": [_field(name, column, source) for column in columns],
    }


def _field(name: str, column: dict[str, str], source: dict[str, Any]) -> dict[str, Any]:
    kind, inner = column["type"], column["type"]
    repeated: dict[str, Any] = {}
    if kind.startswith(("list<", "large_list<", "fixed_size_list<")):
        inner = kind.partition("<")[2].rpartition(">")[0].rpartition(": ")[2].removesuffix(" not null")
        repeated = {"isArray": True, "arrayShape": "-1"}
    return {
        "@type": "cr:Field",
        "@id": _id(f"{name}-records/{column['name']}"),
        "name": column["name"],
        "dataType": _data_type(inner),
        **repeated,
        "source": {**source, "extract": {"column": column["name"]}},
    }


def _data_type(kind: str) -> str:
    """Say in the words of schema.org what an Arrow type is."""
    if kind.startswith(("int", "uint")):
        return "sc:Integer"
    if kind.startswith(("float", "double", "half", "decimal")):
        return "sc:Float"
    if kind.startswith("bool"):
        return "sc:Boolean"
    if kind.startswith("date"):
        return "sc:Date"
    if kind.startswith("timestamp"):
        return "sc:DateTime"
    return "sc:Text"
