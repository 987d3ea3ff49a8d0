"""Objects of libraries come back as they were, or are refused with what to write instead."""

from __future__ import annotations

import pytest

from perdure.errors import UsageError
from tests.adapters.test_encoding import again, stored


@pytest.mark.parametrize("name", ["DataFrame", "Series"])
def test_pandas_is_refused_with_what_to_write(name: str) -> None:
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    with pytest.raises(UsageError, match=rf"at \['frame'\] a pandas {name}.*keep its columns as arrays"):
        stored({"frame": getattr(pandas, name)([1.0, 2.0])})


@pytest.mark.parametrize("kind", ["csr_matrix", "csc_array", "lil_matrix", "dok_matrix", "coo_array"])
def test_sparse_matrices_come_back(kind: str) -> None:
    sparse = pytest.importorskip("scipy.sparse", reason="SciPy is not installed")
    made = again({"matrix": getattr(sparse, kind)([[1.0, 0.0], [2.0, 3.0]])})["matrix"]
    assert made.toarray().tolist() == [[1.0, 0.0], [2.0, 3.0]]
