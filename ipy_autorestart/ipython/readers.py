"""Libraries that open files by themselves, in C, C++ or Rust, where Python hears nothing of it (PEP 578).

Listed is what is commonly given the name of a file to read. Not listed is what has Python open it, as pandas, NumPy,
Pillow and PyTorch mostly do: pandas alone imports a part of pyarrow that opens nothing.
"""

from __future__ import annotations

from collections.abc import Container

#: Modules by their full names, as they are in ``sys.modules``.
READERS = frozenset(
    {
        # tables, arrays and databases
        "apsw",
        "chdb",
        "datafusion",
        "datasets",
        "datatable",
        "deltalake",
        "duckdb",
        "fastexcel",
        "h5py",
        "lance",
        "lmdb",
        "netCDF4",
        "polars",
        "pyarrow.csv",
        "pyarrow.dataset",
        "pyarrow.feather",
        "pyarrow.fs",
        "pyarrow.json",
        "pyarrow.orc",
        "pyarrow.parquet",
        "pyhdf",
        "pyreadr",
        "pyreadstat",
        "python_calamine",
        "ROOT",
        "tables",
        "tensorstore",
        "tiledb",
        # texts and documents
        "fasttext",
        "fitz",
        "lxml.etree",
        "pikepdf",
        "pymupdf",
        "pypdfium2",
        "sentencepiece",
        "simdjson",
        "tokenizers",
        # pictures, sound and video
        "av",
        "cv2",
        "decord",
        "itk",
        "OpenImageIO",
        "pyvips",
        "rawpy",
        "SimpleITK",
        "soundfile",
        "torchaudio",
        "torchcodec",
        "torchvision",
        "wand.image",
        # maps, meshes and the sky
        "cfgrib",
        "eccodes",
        "fiona",
        "fitsio",
        "gmsh",
        "open3d",
        "osgeo",
        "pdal",
        "pygrib",
        "pyogrio",
        "rasterio",
        "spiceypy",
        "vtkmodules",
        # molecules and genomes
        "cyvcf2",
        "MDAnalysis",
        "mdtraj",
        "openbabel",
        "pyBigWig",
        "pyedflib",
        "pysam",
        "rdkit",
        # models
        "annoy",
        "catboost",
        "ctranslate2",
        "faiss",
        "hnswlib",
        "lightgbm",
        "llama_cpp",
        "onnxruntime",
        "openvino",
        "safetensors",
        "tensorflow",
        "xgboost",
    }
)


def has_reader(modules: Container[str]) -> bool:
    """Return whether one of them is among these modules."""
    return any(name in modules for name in READERS)
