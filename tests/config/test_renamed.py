"""Files and flags of earlier versions are still understood."""

import base64
import zlib
from pathlib import Path

import pytest

import timesformer
from timesformer.cli.train import Start
from timesformer.cli.typed.words import spelled_settings
from timesformer.config import names
from timesformer.config.checks import ConfigError
from timesformer.config.configfile import from_toml, to_toml
from timesformer.config.model import ClipConfig, ModelConfig
from timesformer.config.renamed import FLAGS, RENAMED
from timesformer.config.training import AugmentConfig, OptimConfig, TrainConfig
from timesformer.weights import metadata
from timesformer.weights.report import WeightsError

OLD_CONFIG = """\
# Settings of a training: `timesformer train DATA --config FILE` runs it with them.
task = "classes"
init = ""

[model]
# Attention scheme (paper, section 3, figure 1).
scheme = "divided"
frames = 4
size = 32
patch = 8
# Order of the divided steps (paper, section 4.7); other schemes have one order.
order = "time_first"
# Start of the weights. "image": time embedding and extra linears at zero, all else at 0.02, right when the space
# weights come from an image model. "scratch": sine waves and Xavier's rule; from nothing, zeros never learn order.
start = "scratch"

[clip]
frames = 4
size = 32

[augment]
# Draw the jitter uniformly in 1 / size, as the official Something-Something-V2 training does.
inverse = true

[optim]
decay_all = false
"""
"""Of a config.toml that a training of the version before the renaming wrote, the parts that matter here."""
OLD_CHECKPOINT = (
    "c-rlj+j8145J2<ThkgX3XN^aejbr$L{sb@{fd#nuR!d2mX7cadm7S1)fX0uVJr5+h9j{jF%eU`$ju)0?m9{EZR%IERzc5==+H9My"
    "(jA+#mnD1Dohh1n$>x)gPnN7|a$RBz#>{4~D~*jM%ZtY%*ZGp+q;01_g98$qrugG#g$cG=WjA|lrr3Haa(is$y6s!;T6?YXqopd_"
    "tW&mVuqO@#_H9aK%!e!GUDIZ80p}2bv$TyV?63uhrBxf9;WqnFn=aQ~KZKpxw&;xQhnzes>S6YLvQ?$gZbMdecJOVwem~gX>9?&e"
    "S*;Z`Vb*K!D%v4yr^!)OTNd?hNTaUJ5E*!#Dst1dty>a_e&e50T509Bw-7-*<&)#@s*g4w2BmcU$3Jd-vsZPkOVdZt?bbugrCJZY"
    "izQR_t{eh0t;U0PYppVeVV&N=e*0R%5w&g}h8$HY*OT@0L`|%IOYTEm*xtRE;g&>z!7M`jUj|~edW9g^x@<NF6Nmr~AAZ+`GFYX#"
    "eQq_>=Z{D-&dgq6YZ1v6XRef+?bc`uQx}4VGF_dUo^-L>+iNbKp4-61!*D9kgz`pcJ{NdEmc}00t>{wj+bhbrl;ZP#Yq*)e9vy1H"
    "6^nD%&ER~tSb**RbK;EEtqI%>IXcRF$z>$s>)tUDgA~kBa?#v&&Cd}LgA%++dfj`w0KD!5&Mc9av+?Wjcq3$3eC`D$hfIsB-diDq"
    "!xuAXc@(F<eBfg@(7$b`zMf}P@@VRf`Ga><o>9xA`}^dQdt5Q2kw>XWuWCosGCDyVU(Ch0Qbr?ay*KqyJ1)au<?-p0`-6I1A)}GU"
    "(tCrvYsb|wT6sL1xn$^St@9k-=|TSqVVi@lFB?N1dX-?~Q_)9zRJzZnub&o*z&1^MwtslvaPL8(5ME+Zh!gGb&2??lQ|}uVU0{ro"
    "6C<9_HJkr^jUKSYeG>6|@>bdSB(NMMk$jijEE0b-pg_^g9m2S$gj?=DLeh81h-ZQmpa%2&dPfihK@bE%5ClOG1VIo4K@bE%5ClOG"
    "1VIo4K@bE%5Crj`@fTA;z1j"
)
"""Such a version's checkpoint of a small regression, all weights zero: its bytes, compressed."""


def old_checkpoint(folder: Path) -> Path:
    path = folder / "old.safetensors"
    path.write_bytes(zlib.decompress(base64.b85decode(OLD_CHECKPOINT)))
    return path


def test_a_config_file_with_old_names_gives_the_settings_of_today() -> None:
    expected = TrainConfig(
        model=ModelConfig(frames=4, size=32, patch=8, weight_init="scratch"),
        clip=ClipConfig(frames=4, size=32),
        augment=AugmentConfig(inverse_jitter=True),
        optim=OptimConfig(decay_all=False),
    )
    assert from_toml(OLD_CONFIG) == expected
    written = to_toml(expected)
    assert "\nweight_init = " in written and "\nstart = " not in written


def test_a_checkpoint_with_old_names_loads_whole(tmp_path: Path) -> None:
    loaded = timesformer.load(str(old_checkpoint(tmp_path)))
    assert loaded.model.config.weight_init == "scratch"
    assert loaded.target_stats == ((9.0, 0.5), (1.0, 2.0)) and loaded.labels == ("angle", "speed")
    timesformer.save(loaded, tmp_path / "new.safetensors")
    assert b'"units"' not in (tmp_path / "new.safetensors").read_bytes()


def test_flags_and_keywords_with_old_names_mean_the_fields_of_today() -> None:
    assert spelled_settings(["--model.start", "scratch"], Start)[0] == ["--model.weight-init", "scratch"]
    assert spelled_settings(["--augment.no-inverse"], Start)[0] == ["--augment.no-inverse-jitter"]
    assert names.settings({"model": {"start": "image"}}) == {"model.weight_init": "image"}
    assert all(names.understood(new) == (new,) for new in FLAGS.values())


def test_a_field_under_both_its_names_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"model\.start is the old name of weight_init, and both are given"):
        from_toml('[model]\nstart = "image"\nweight_init = "image"\n')
    both = '{"version": 1, "model": {}, "clip": {}, "units": [], "target_stats": []}'
    with pytest.raises(WeightsError, match="units is the old name of target_stats, and both are given"):
        metadata.from_json(both, "file.safetensors")


def test_no_old_name_is_a_name_of_today() -> None:
    for kind in (ModelConfig, AugmentConfig):
        assert not RENAMED[kind.__name__].keys() & kind.__dataclass_fields__.keys()
