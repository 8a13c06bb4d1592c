"""The strings that every tokenizer is compared on: ordinary text in many scripts, and mixtures of
fragments that a wrong rule for digits, spaces, apostrophes, marks or newlines would cut otherwise."""
import random
import re

ORDINARY = r"""
The quick brown fox jumps over the lazy dog.
Hello, world! How are you today?
In 1969, Apollo 11 landed on the Moon; 600,000,000 people watched it.
It's what they've said: we'll see, I'd wait, you're right, I'm sure, don't.
IT'S WHAT THEY'VE SAID: WE'LL SEE, I'D WAIT, YOU'RE RIGHT, I'M SURE, DON'T.
It’s a curly apostrophe, isn’t it? ‘Yes’, “he” said.
rock'n'roll 'tis 'twas o'clock 's 't 're 've 'm 'll 'd 'x '' ''' 'S 'RE 'lL 'Ve
'ſ 'ſtand 'sſ l'été d'accord aujourd'hui
pi is 3.14159265358979, e is 2.71828, and 0x1F is 31; 1e-9 is small.
v1.2.3-rc4+build.567 2024-02-29T23:59:59Z 10:30 +49 (0)30 1234567
1 12 123 1234 12345 123456 1234567 12345678
½ ² ³ ¼ Ⅷ ⅷ ① ⑳ 一二三 ٣٤٥ ९८७ ໓ 𝟘𝟙𝟚 ꩐ ㊿ 〇 ௧
El niño comió piñata en el año. ¿Qué tal? ¡Bien!
Größe, Straße, Äpfel, Öl, Übermut, naïve façade, Ærø, Łódź, İstanbul ığdır.
Voilà l'œuvre; où est-ce ? « Là-bas » 50 %
Привет, мир! Как дела? Ёж 123 съел гриб.
Γειά σου Κόσμε. Ο Σίσυφος ὀξύς ᾳ.
你好，世界！今天天气怎么样？我有3个苹果。
日本語のテキスト、カタカナ、ひらがな。東京2020オリンピック。
안녕하세요 세계! 한국어 텍스트 123개.
مرحبا بالعالم! كيف حالك؟ ١٢٣ كتاباً.
שלום עולם! מה שלומך? יש לי 5 ספרים. שָׁלוֹם
สวัสดีชาวโลก วันนี้อากาศดีไหม ๑๒๓
नमस्ते दुनिया! आप कैसे हैं? मेरे पास ३ किताबें हैं।
வணக்கம் உலகம் ক্ষমা করবেন ಕನ್ನಡ తెలుగు ગુજરાતી ਪੰਜਾਬੀ
ម្រាយ ພາສາລາວ မြန်မာ བོད་ཡིག ქართული Հայերեն አማርኛ ᏣᎳᎩ ᠮᠣᠩᠭᠣᠯ
Xin chào thế giới! Tiếng Việt có dấu.
😀😃😄 👍🏽 👩‍👩‍👧‍👦 🏳️‍🌈 🇩🇪🇫🇷 ❤️ ☺︎ 1️⃣ 👨🏿‍💻x👋 hi🎉
e\u0301 e\u0301\u0302 a\u0300b\u0301c\u0302 n\u0303o \u0301start Z\u0351\u036b\u0343a\u0319l\u0316go
Ａｂｃ　ｆｕｌｌｗｉｄｔｈ　１２３！ ﬁ ﬂ ﬆ ǅ ǈ ʰ ˈ ª º µ Å
x\u200by\u200cz\u200dw \u2060 \ufeffbom \u00ad soft \u202eRTL\u202c
a\u00a0b \u00a0c\u00a0\u00a0d \u2003em\u2009thin\u202fnarrow\u3000wide\u1680ogham\u205f
a\u0085b\u2028c\u2029d\u000be\u000cf
tab\tsep\t\tdouble \t mixed\t end\t
trailing space 
trailing spaces   
 leading space
   leading spaces
 \t leading mix
a  b   c    d     e
a\n b\n\nc\n\n\nd\n \n e \n\n f
line one\r\nline two\r\n\r\nline three\r\r\nfour\n\r
\n
\n\n\n
 \n
  \n  
\t\n\t
\r\n
 \r\n \r\n 
end with newline\n
end with newlines\n\n
spaces before newline   \n   after
x \n
x  \n\n  y
def f(x):\n    return x**2 + 1  # square\n\n\nclass A:\n\tpass\n
for (int i = 0; i < 10; ++i) {\n\tprintf("%d\\n", i);\n}\n
{"key": [1, 2.5, -3e10, true, null], "nested": {"a b": "c\\"d"}}
<html><body class="x">Hi &amp; bye</body></html>
SELECT * FROM t WHERE a>=10 AND b<>'it''s';
https://example.com/path?q=1&r=a%20b#frag user@example.org C:\\dir\\file.txt
!!! ??? ... --- ___ *** ### $$$ @@@ ^^^ &&& ||| ~~~ ``` "" () [] {} <>
a!b ?c .d -e _f *g #h $i @j ^k &l |m ~n
 ! ?? ...  ! \n!\n\n!\r\n ?\n
(hello) [world] {foo} <bar> "baz" 'qux' `code`
snake_case camelCase PascalCase SCREAMING_SNAKE kebab-case
a1b2c3 1a2b3c x86_64 utf8 h264 3rd 21st B2B covid19
1 2 3 4  5   6\t7\n8
 1  12   123 a1 1a .1 1. $100 100$ #1 1# €5 5€ ½x x½
$1,234.56 €99.99 £5 ¥1000 100% 5° 10² m³ ½cup
\u2460a \u2460 a x\u00b2y x \u00b2 y \u0663\u0664a
<|endoftext|>
<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n
a<|im_end|>b <|im_end|> c
<|im_end|><|im_end|><|im_start|>
<|im_start <|im_end| |im_end|> <<|im_end|>> <|im_<|im_end|>
<tool> <tool_call> <tool_calls> <tool_call <tool
<repo_name>x<file_sep>y<jupyter_start>z<empty_output>
 <|im_end|> \n<|im_end|>\n\n
1<|im_end|>2 's<|im_end|>'s
\u0000\u0001\u0002\u0007\u001b[31mred\u007f\u0080\u009f
\u0004\u0006\u0013\u0014\u0016\u001d dropped?
\U000e0100\U000e01ef \U0001d400\U0001d7ff \U00020000\U0002fa1d \U00016ff4\U00011de0 \U0010ffff \uffff \ufffd \U00040000
\u1a55\u1b04\u0903\u0488\u20e3\ufe0f x\ufe0fy 3\u20e3
""".split("\n")[1:-1]

FRAGMENTS = [
    "a", "B", "hello", "World", "é", "e\u0301", "\u0301", "ñ", "中", "文字", "ب", "ה", "ที่", "ि", "क",
    "1", "12", "345", "6789", "½", "٣", "①", " ", " ", " ", "  ", "   ", "\n", "\n", "\n\n", "\r\n",
    "\r", "\t", "\u00a0", "\u2003", "\u3000", "\u0085", "\u2028", "'s", "'S", "'re", "'LL", "'", "’s",
    "'t", "'ve", "'d", "'ſ", ".", ",", "!", "...", "-", "_", "(", ")", "\"", "#", "$", "€", "/", "\\",
    "😀", "👍🏽", "\u200d", "\ufe0f", "\u200b", "<|im_end|>", "<tool_call>", "<", "|", ">", "\u0000", "ǅ",
    "ʰ", "𝟘", "\U00016ff4", "\U0001f1e9\U0001f1ea",
]
RUNS = ["a", " ", "1", "\n", "!", "é", "中", "\u0301", "😀", "ab", "a ", " a", "\r\n", "'s", "\t", "=",
        "\u00a0", "aA1 ", "<|", "abcdefgh"]


ESCAPE = re.compile(r"\\(?:u([0-9a-f]{4})|U([0-9a-f]{8})|([ntr\\]))")


def unescape(line: str) -> str:
    letters = {"n": "\n", "t": "\t", "r": "\r", "\\": "\\"}
    return ESCAPE.sub(
        lambda m: letters[m[3]] if m[3] else chr(int(m[1] or m[2], 16)), line)


def strings() -> list[str]:
    out = [unescape(line) for line in ORDINARY]
    rng = random.Random(20240229)
    for length in (2, 3, 4, 5, 8, 12):
        for _ in range(80):
            out.append("".join(rng.choice(FRAGMENTS) for _ in range(length)))
    heads = ("'s", " ", "\n", "1", "\u0301", "a")
    out += [a + b + "x" for a in heads for b in (*heads, "!", "\u00a0")]
    return list(dict.fromkeys(out))
