"""The miniature data sets hold what the tests that use them rely on."""

import numpy as np
import pytest
import rasterio

from tests.fake_data import make_geotiff, make_loveda, read_png


def test_loveda_is_the_same_for_a_seed_and_has_every_id_in_every_label(tmp_path):
    roots = [
        make_loveda(tmp_path / name, seed=seed) for name, seed in zip("abc", (1, 1, 2), strict=True)
    ]
    files = [sorted(p.relative_to(root) for p in root.rglob("*.png")) for root in roots]
    assert len(files[0]) == 4 * 2 + 2 * 2 + 2
    assert files[0] == files[1] == files[2]
    content = [[(root / file).read_bytes() for file in files[0]] for root in roots]
    assert content[0] == content[1] != content[2]
    for label in roots[0].glob("ann_dir/*/*.png"):
        assert set(np.unique(read_png(label))) == set(range(8))


def test_geotiff_has_the_grid_bands_and_nodata_asked_for(tmp_path):
    path = tmp_path / "scene.tif"
    data = make_geotiff(path, size_px=(24, 40), bands=4, dtype="uint16", nodata=0, nodata_columns=5)
    with rasterio.open(path) as raster:
        assert (raster.count, raster.height, raster.width) == (4, 24, 40)
        assert (raster.crs.to_epsg(), raster.res, raster.nodata) == (32633, (0.3, 0.3), 0)
        np.testing.assert_array_equal(raster.read(), data)
    assert (data[:, :, :5] == 0).all()
    assert data[:, :, 5:].min() > 0 and data.max() > 255
    with pytest.raises(ValueError, match="needs nodata"):
        make_geotiff(path, nodata_columns=1)
