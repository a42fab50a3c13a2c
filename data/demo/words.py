"""The words of the demo's captions: for each slot and option, what field staff write, in Japanese and English.

The first word of each list is the plain one. No word stands for two options of one slot.
"""

from __future__ import annotations

WORDS: dict[str, dict[str, dict[str, tuple[str, ...]]]] = {
    "en": {
        "part": {
            "bolt": ("bolt", "hex bolt"), "nut": ("nut", "hex nut"), "washer": ("washer", "flat washer"),
            "gear": ("gear", "gear wheel", "cog"), "bracket": ("bracket", "L-bracket"), "pipe": ("pipe", "tube"),
            "plate": ("plate", "mounting plate"), "bearing": ("bearing", "ball bearing"),
        },
        "material": {
            "steel": ("steel",), "brass": ("brass",), "copper": ("copper",), "aluminium": ("aluminium", "aluminum"),
            "plastic": ("plastic", "resin"), "rubber": ("rubber",), "cast_iron": ("cast iron", "cast-iron"),
        },
        "defect": {
            "scratch": ("scratch", "scrape"), "dent": ("dent", "ding"), "rust": ("rust", "corrosion"),
            "crack": ("crack", "fissure"), "stain": ("stain", "oil stain"), "chip": ("chip", "chipping"),
            "burn": ("burn", "burn mark", "scorch mark"),
        },
        "place": {
            "centre": ("centre", "center", "middle"), "left": ("left", "left side", "left-hand side"),
            "right": ("right", "right side", "right-hand side"), "top": ("top", "upper side"),
            "bottom": ("bottom", "lower side"),
        },
        "severity": {
            "slight": ("slight", "light", "minor"), "moderate": ("moderate", "medium"),
            "severe": ("severe", "heavy", "serious"),
        },
        "background": {
            "workbench": ("workbench", "bench", "wooden bench"), "tray": ("tray", "parts tray"),
            "conveyor": ("conveyor", "conveyor belt", "belt"), "concrete": ("concrete", "concrete floor"),
            "cloth": ("cloth", "shop towel", "rag"),
        },
        "count": {"1": ("one", "1"), "2": ("two", "2"), "3": ("three", "3"), "4": ("four", "4")},
    },
    "ja": {
        "part": {
            "bolt": ("ボルト", "六角ボルト"), "nut": ("ナット", "六角ナット"), "washer": ("ワッシャー", "座金"),
            "gear": ("ギア", "歯車"), "bracket": ("ブラケット", "L字金具"), "pipe": ("パイプ", "管"),
            "plate": ("プレート", "板"), "bearing": ("ベアリング", "軸受"),
        },
        "material": {
            "steel": ("鋼", "スチール"), "brass": ("真鍮", "黄銅"), "copper": ("銅",),
            "aluminium": ("アルミ", "アルミニウム"),
            "plastic": ("樹脂", "プラスチック"), "rubber": ("ゴム",), "cast_iron": ("鋳鉄", "鋳物"),
        },
        "defect": {
            "scratch": ("傷", "キズ", "擦り傷"), "dent": ("へこみ", "凹み", "打痕"), "rust": ("錆", "サビ"),
            "crack": ("亀裂", "ひび割れ", "クラック"), "stain": ("汚れ", "油汚れ", "シミ"), "chip": ("欠け", "欠損"),
            "burn": ("焼け", "焦げ", "焼け跡"),
        },
        "place": {
            "centre": ("中央", "中央部", "真ん中"), "left": ("左側", "左端", "左"), "right": ("右側", "右端", "右"),
            "top": ("上側", "上部", "上端"), "bottom": ("下側", "下部", "下端"),
        },
        "severity": {
            "slight": ("軽度の", "軽微な", "わずかな"), "moderate": ("中程度の", "中度の"),
            "severe": ("重度の", "深刻な", "ひどい"),
        },
        "background": {
            "workbench": ("作業台", "木製作業台"), "tray": ("トレー", "トレイ", "部品トレー"),
            "conveyor": ("コンベア", "コンベヤ", "ベルトコンベア"), "concrete": ("コンクリート", "コンクリート床"),
            "cloth": ("布", "ウエス"),
        },
        "count": {"1": ("1", "一"), "2": ("2", "二"), "3": ("3", "三"), "4": ("4", "四")},
    },
}  # fmt: skip

COUNTERS = {"bolt": "本", "pipe": "本", "plate": "枚", "washer": "枚"}  # everything else is counted in 個
SOUND = {
    "en": ("no defect", "no visible damage", "no defects found", "good condition", "looks fine"),
    "ja": ("異常なし", "欠陥なし", "問題なし", "良品", "傷などなし"),
}
VAGUE = {
    "en": ("photo of parts", "some parts on the line", "part, see photo", "defective item", "inspection photo",
           "parts check", "damaged part?", "picture taken at the line", "sample", "to be confirmed"),
    "ja": ("部品の写真", "部品です", "ライン横で撮影", "不良品", "検査写真", "部品確認用", "要確認", "現場写真",
           "サンプル", "いつもの部品"),
}  # fmt: skip
# What a hurried input method makes of the right word (first of each group): same reading or look, wrong characters.
_CONVERTED = """
作業台/作業代/作行台/昨業台 中央/中欧/仲央 真ん中/真ん仲 重度/重土/十度 軽度/経度/軽土
中程度/中提度/中低度 中度/中土 軽微/経費 深刻/申告 ひどい/ひとい わずか/わづか 鋼/綱 真鍮/真中/新鍮
黄銅/黄胴 銅/胴 アルミ/アミル/アルニ 樹脂/種子/授脂 プラスチック/プラスチッツ/プラチック
スチール/スチル/ステール ゴム/ゴマ 鋳鉄/中鉄 鋳物/居物 ボルト/ボトル/ボルド ナット/ナツト/ネット
ワッシャー/ワシャッー/ウォッシャー 座金/坐金 ギア/ギヤァ 歯車/葉車/歯者
ブラケット/ブケラット/ブランケット L字金具/L時金具 パイプ/パイブ/バイプ プレート/プレト/ブレート 板/坂
管/官 ベアリング/ベリアング/ベアリグ 軸受/軸浮 傷/気図 キズ/キヅ 錆/鯖/寂 サビ/サピ 亀裂/帰列/亀烈
ひび割れ/ひひ割れ クラック/クラクッ へこみ/へごみ 凹み/込み 打痕/打恨 汚れ/汚わ/塗れ シミ/ツミ
欠け/書け/掛け 欠損/決損 焼け/妬け 焦げ/漕げ 左/佐 右/石 上側/上川 下側/下川 上部/丈夫 下部/株 上端/状端
下端/下短 トレー/トレ トレイ/トレエ コンベア/コンペア コンベヤ/コンペヤ コンクリート/コンクリト 布/市
ウエス/ウスエ
"""
MISCONVERSIONS: dict[str, tuple[str, ...]] = {
    group.split("/")[0]: tuple(group.split("/")[1:]) for group in _CONVERTED.split()
}
