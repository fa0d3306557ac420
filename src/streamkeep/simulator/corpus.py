"""
Texts that the simulated model answers with: prose, code, tables, lists, poems, mathematics and many scripts.

Written to be looked at: a page that shows a streamed answer is judged by what is on it, so the samples carry the
Markdown, the wide characters and the joined emoji that renderers get wrong.

Pure: no I/O, no clock.
"""

from collections.abc import Mapping
from typing import Final

PROSE: Final[tuple[tuple[str, str], ...]] = (
    (
        "Why lighthouses blink",
        "A lighthouse does not blink to be noticed; it blinks to be **told apart**. Every light on a coast has its own "
        "rhythm, printed on the chart beside it: two flashes every ten seconds here, a long eclipse there. A sailor "
        "with a watch and a chart can name the headland in the dark.\n\n"
        "The trick that made it possible is a lens, not a lamp. Augustin Fresnel cut the thick glass away and kept "
        "only the rings that bend light, so that a flame no stronger than a table lamp reaches the horizon. The "
        "lens floats on a bath of mercury and turns at the push of a finger.",
    ),
    (
        "The patience of sourdough",
        "A sourdough starter is a small, well-governed city. Yeasts make the gas that lifts the loaf; lactic bacteria "
        "make the acid that keeps everybody else out. Neither could hold the jar alone for long.\n\n"
        "What a baker calls *strength* is really timing. Four hours after feeding the population peaks, the dome is "
        "about to fall, and the dough that takes it then will rise without being asked twice.",
    ),
    (
        "How rivers choose their bends",
        "Put a straight channel on a plain and it will not stay straight. The water on the outside of the smallest "
        "bend runs a little faster and eats the bank; the water on the inside slows and drops its sand. The bend "
        "feeds itself until the neck is so thin that one flood cuts through.\n\n"
        "The old loop is left behind as a crescent lake. Seen from the air a river plain is a *log* of every choice "
        "the river has made, written once and never edited.",
    ),
    (
        "A short defence of the index card",
        "An index card holds one idea because it has room for no more. That is the whole method. Shuffle the cards and "
        "the argument rearranges itself; lose one and exactly one thing is lost.\n\n"
        "Linnaeus used slips of paper to move species between families, libraries ran on drawers of them for a "
        "century, and a good bug report still fits on one: what I did, what I saw, what I expected.",
    ),
    (
        "What the tuning fork knows",
        "Strike a fork and hold it to a table, and the whole table sings. The fork has not become louder; it has found "
        "something larger that is willing to move with it. Engineers call this *resonance* and spend careers "
        "preventing it in bridges.\n\n"
        "Instrument makers spend theirs inviting it. A violin is a box that agrees with the string at as many pitches "
        "as possible, and disagrees politely at the others.",
    ),
    (
        "Letters that took the long way",
        "Before the telegraph, news had a speed, and it was the speed of a horse. A letter from Lisbon to Vienna took "
        "about three weeks, so every answer was an answer to the past. Diplomats learned to write sentences that "
        "would still be true when they were read.\n\n"
        "They also learned to number them. *Your No. 14 received; No. 13 has not arrived.* A sequence number is all "
        "it takes for a reader to know that something is missing.",
    ),
    (
        "The ants' accounting",
        "An ant that finds sugar walks home leaving a scent. The next ant follows it, finds sugar, and adds her own. "
        "A short path is walked more often, so its scent is fresher, so more ants take it. Nobody compares two "
        "paths; the comparison is left on the ground.\n\n"
        "When the sugar runs out nothing is announced either. The scent simply fades, and an hour later the road has "
        "been forgotten.",
    ),
    (
        "On mending a clock",
        "The first rule of clock mending is to watch it fail. A clock that stops at ten past four every night is "
        "telling you which tooth is bent. A clock that stops at random is telling you about dust.\n\n"
        "Clean it, oil it less than you want to, and write the date inside the case in pencil. The next mender will "
        "find four dates and a pattern.",
    ),
)
"""Title and Markdown paragraphs, about a hundred words each."""

CODE: Final[tuple[str, ...]] = (
    "```python\nfrom collections.abc import Iterator\n\n\n"
    'def collatz(n: int) -> Iterator[int]:\n    """\n    Yield the Collatz sequence from n down to 1.\n    """\n'
    "    while n != 1:\n        yield n\n        n = 3 * n + 1 if n % 2 else n // 2\n    yield 1\n\n\n"
    'print(" → ".join(map(str, collatz(6))))  # 6 → 3 → 10 → 5 → 16 → 8 → 4 → 2 → 1\n```',
    "```typescript\ntype Tide = { at: Date; metres: number };\n\n"
    "export function highest(tides: readonly Tide[]): Tide | undefined {\n"
    "  return tides.reduce<Tide | undefined>(\n"
    "    (best, tide) => (best && best.metres >= tide.metres ? best : tide),\n    undefined,\n  );\n}\n```",
    "```sql\nSELECT harbour,\n       round(avg(metres), 2) AS mean_tide,\n       count(*) FILTER (WHERE metres > 4) AS springs\n"
    "FROM tides\nWHERE at >= date '2024-01-01' AND harbour <> ''\nGROUP BY harbour\nORDER BY mean_tide DESC;\n```",
    '```rust\nfn main() {\n    let words = ["log", "before", "wire"];\n'
    "    let longest = words.iter().max_by_key(|word| word.len());\n"
    '    println!("{longest:?} of {} & counting <{}>", words.len(), words.join(", "));\n}\n```',
)
"""Fenced blocks with the characters that escape badly: quotes, angle brackets, ampersands, arrows."""

TABLES: Final[tuple[str, ...]] = (
    "| Light | Height | Rhythm | Seen from |\n|:--|--:|:-:|--:|\n"
    "| Eddystone | 41 m | Fl(2) 10 s | 17 nmi |\n| Kõpu | 103 m | Fl(2) 10 s | 26 nmi |\n"
    "| Créac'h | 70 m | Fl(2) 10 s | 32 nmi |\n| 犬吠埼 | 52 m | Fl 15 s | 19.5 nmi |",
    "| Flour | Protein | Water | Best for |\n|---|---:|---:|---|\n"
    "| Soft wheat | 9 % | 55 % | cakes 🍰 |\n| Bread wheat | 12.5 % | 70 % | loaves 🍞 |\n"
    "| Whole rye | 9 % | 85 % | `sourdough` |\n| Durum | 14 % | 50 % | pasta 🍝 |",
    "| Step | Who | Cost | Note |\n|--:|---|--:|---|\n| 1 | reader | 0.2 ms | *cheap* |\n"
    "| 2 | writer | 1.3 ms | holds the pen |\n| 3 | archive | 13 ms | **once** per batch |",
)

LISTS: Final[tuple[str, ...]] = (
    "1. Look at it for a full minute.\n2. Write down what you see, not what you think.\n"
    "   - colours\n   - edges\n   - what is *missing*\n3. Only then pick up a tool.",
    "- **Salt** is weighed, never guessed.\n- **Water** is warm in winter, cold in summer.\n"
    "- **Time** is the ingredient that nobody lists:\n  1. an hour to wake,\n  2. four to rise,\n  3. one to cool.",
    "- [x] chart the shallows\n- [x] trim the lamp\n- [ ] oil the bearings\n- [ ] write the log ✍️",
)

POEMS: Final[tuple[str, ...]] = (
    "The lamp goes round, the dark goes round,\nthe keeper counts to ten;\nwhat he has said without a sound\n"
    "he says to sea again.\n\nNo ship replies. He does not mind,\nhe keeps the turning true:\n"
    "a light is not for him to find,\nit is for passing through.",
    "I left a word upon the step,\nthe rain has taken half.\nThe half that stayed, the half it kept,\n"
    "together made me laugh.",
    "Slow river, old hand,\nyou write one letter all day:\nan S in the sand.",
)

MATHS: Final[tuple[str, ...]] = (
    "The sum of the first $n$ odd numbers is a square:\n\n$$\\sum_{k=1}^{n} (2k-1) = n^2$$\n\n"
    "which you can see by laying L-shaped borders around a single tile, $1 + 3 + 5 + \\dots$",
    "Euler joined five constants in one line, $e^{i\\pi} + 1 = 0$, and the Gaussian integral two more:\n\n"
    "$$\\int_{-\\infty}^{\\infty} e^{-x^2}\\,dx = \\sqrt{\\pi}$$",
)

EMOJI: Final[tuple[str, ...]] = (
    "Small weather report: 🌤️ in the morning, ⛈️ by noon, then 🌈. Bring ☔ and a 👩🏽‍🚀, just in case.",
    "The whole crew came: 👨‍👩‍👧‍👦 from 🇵🇹, 🧑🏿‍🤝‍🧑🏻 from 🇯🇵, one 🐈‍⬛ and a 🏴‍☠️. Verdict: 👍🏾 1️⃣0️⃣/🔟.",
    "Menu: 🥖 + 🧀 = ❤️‍🔥, 🍣 for 👩‍🔬, 🫖 for everyone, and ♾️ biscuits 🍪.",
)
"""With skin tones, joined families, flags, keycaps and variation selectors: each must arrive uncut."""

SCRIPTS: Final[Mapping[str, str]] = {
    "japanese": "灯台の光は、船に岬の名前を教えます。同じ光は一つもありません。ガラスのレンズが静かに回り、夜の海を照らします。",
    "chinese": "灯塔的光告诉水手他在哪里。每一座灯塔都有自己的节奏，写在海图上。夜里，人们看着表，数着闪光。",
    "korean": "등대의 불빛은 배에게 곶의 이름을 알려 줍니다. 모든 등대는 저마다의 박자를 가지고 있습니다.",
    "arabic": "ضوء المنارة يخبر البحّار أين هو. لكل منارة إيقاعها الخاص، وهو مكتوب على الخريطة (10 ثوانٍ).",
    "hebrew": "אוֹר המגדלור מספר לספן היכן הוא נמצא. לכל מגדלור קצב משלו, והוא רשום במפה (10 שניות).",
    "hindi": "प्रकाशस्तंभ की रोशनी नाविक को बताती है कि वह कहाँ है। हर प्रकाशस्तंभ की अपनी लय होती है, जो नक्शे पर लिखी रहती है।",
    "bengali": "বাতিঘরের আলো নাবিককে জানায় সে কোথায় আছে। প্রতিটি বাতিঘরের নিজস্ব ছন্দ আছে।",
    "tamil": "கலங்கரை விளக்கின் ஒளி மாலுமிக்கு வழி காட்டுகிறது. ஒவ்வொரு விளக்குக்கும் தனி தாளம் உண்டு.",
    "thai": "แสงจากประภาคารบอกชาวเรือว่าเขาอยู่ที่ไหน ประภาคารทุกแห่งมีจังหวะของตัวเอง",
    "greek": "Το φως του φάρου λέει στον ναυτικό πού βρίσκεται. Κάθε φάρος έχει τον δικό του ρυθμό.",
    "russian": "Свет маяка говорит моряку, где он находится. У каждого маяка свой ритм, и он отмечен на карте.",
    "ukrainian": "Світло маяка каже морякові, де він є. Кожен маяк має свій ритм, і його позначено на карті.",
    "georgian": "შუქურის სინათლე მეზღვაურს ეუბნება, სად არის. ყველა შუქურას თავისი რიტმი აქვს.",
    "german": "Ein Leuchtturm blinkt nicht, um aufzufallen, sondern um erkannt zu werden. Größe genügt nicht; es zählt der Takt.",
    "french": "Un phare ne clignote pas pour être vu, mais pour être reconnu. À chaque côte, son rythme ; à chaque île, le sien.",
    "spanish": "Un faro no parpadea para que lo vean, sino para que lo reconozcan. ¿Cuál es su ritmo? Está en la carta.",
    "vietnamese": "Ánh sáng của ngọn hải đăng cho người thủy thủ biết mình đang ở đâu. Mỗi ngọn có một nhịp riêng.",
}
"""One or two plain sentences a language, by its English name."""

THOUGHTS: Final[tuple[str, ...]] = (
    "The question is broader than it looks. I should settle what is being asked before I answer: the facts first, "
    "then an example, then where it stops being true. A short table may say more than three paragraphs.",
    "Let me check the simple case. If it holds for one it has to hold for two, and the step from two to many is "
    "where such arguments usually break. It does not break here, because the order never changes. Good.",
    "Two readings are possible. The first is about the tool, the second about the habit behind it. The tone points "
    "to the second, so I will answer that and mention the first in passing.",
)

FACTS: Final[tuple[str, ...]] = (
    "The Eddystone lighthouse was first lit in 1698. ",
    "Fresnel's lens was installed at Cordouan in 1823. ",
    "The lens turned on a bath of mercury. ",
)
"""What the built-in document says, when an answer is to cite and the request brought no document."""

JSON_DOCUMENTS: Final[tuple[dict[str, object], ...]] = (
    {
        "harbour": "Cordouan",
        "position": {"lat": 45.5863, "lon": -1.1737},
        "lights": [
            {"colour": "white", "range_nmi": 19, "flashes": 3},
            {"colour": "red", "range_nmi": 15, "flashes": 3},
        ],
        "manned": True,
        "notes": 'lit since 1611; "the king of lighthouses" 👑',
        "decommissioned": None,
    },
    {
        "loaf": "country rye",
        "hydration": 0.78,
        "steps": [
            {"name": "autolyse", "minutes": 40},
            {"name": "rise", "minutes": 240},
            {"name": "bake", "minutes": 45},
        ],
        "tags": ["sourdough", "Roggenmischbrot", "ライ麦"],
        "tested": False,
    },
)

OPENINGS: Final[tuple[str, ...]] = (
    "Here is the short version, then the long one.",
    "Good question. It has a plain answer and an interesting one; let me give both.",
    "Let us start from something you can see.",
    "I will keep this practical.",
)

CLOSINGS: Final[tuple[str, ...]] = (
    "Ask me to go on and I will take the next bend.",
    "That is the whole of it; the rest is practice.",
    "If one thing stays with you, let it be the rhythm.",
)
