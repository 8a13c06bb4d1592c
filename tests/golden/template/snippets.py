"""One construct or corner each, rendered with VARIABLES."""
import re

VARIABLES = {
    "n": 7, "m": -3, "x": 2.5, "t": True, "f": False, "none_value": None, "s": "Hello, World",
    "empty": "", "u": "Äpfel ß ñ 中文 😀!", "spaces": "  \t a b  c \n", "lines": "one\ntwo\r\nthree\n",
    "list": [3, 1, 2], "words": ["pear", "Apple", "fig", "apple"], "nothing": [],
    "dict": {"b": 1, "a": {"c": [1, 2, {"d": "deep"}]}, "items": "shadowed"},
    "people": [{"name": "Ann", "age": 31, "tags": ["x"]}, {"name": "bob", "age": 25},
               {"name": "Cy", "age": 31, "tags": []}],
    "quote": "it's \"q\" \\ \n\t\u0001\u007f\u00a0é", "html": "<b>&'\"</b>",
    "pairs": [["a", 1], ["b", 2]], "big": 9007199254740993, "small": 1e-7, "huge": 1e22,
}

EXPRESSIONS = """
1 + 2 * 3 - 4 / 2|7 // 2|-7 // 2|7 % 3|-7 % 3|7 % -3|2 ** 10|2 ** -1|-2 ** 2|2 ** 3 ** 2|7 / 2|6 / 2
n + x|n - m|n * m|n / m|n // m|n % m|x // 1|x % 1|7.5 // -2|-7.5 % 2|t + 1|t + t|1 == 1.0|t == 1
1 / 0|1 % 0|1.5 // 0|n + s|s + n|s - 1|none_value + 1|missing + 1|1 + missing|list + 1
big + 1|small|huge|1e16|1e15|123456789.123|0.1 + 0.2|1.0|100.0|1e100|-0.0|1_000|3.0e2|.5
'a' 'b' "c"|'a' + 'b'|'a' ~ 1 ~ none_value ~ t ~ x|'ab' * 3|3 * 'ab'|[1] * 2|'ab' * -1|[1] + [2, 3]
(1, 2) + (3,)|(1,)|()|[]|{}|[1, 'a', none, true, 1.5]|{'a': 1, 'b': [1, {'c': "d"}]}|(1, 'x')
'\\n\\t\\x41\\u00e9\\U0001F600\\\\\\'\\"\\q'|"it's"|'say "hi"'|['it\\'s', "q\\"'"]|[quote]|u|[u]|[s]
t|f|none_value|true|True|none|None|not t|not f|not not n|not missing|t and f|t or f|f or 'x'|'' or 0 or []
n and s|missing or 'default'|missing and 1|1 and 2 and 3|0 or none|t and missing
1 < 2 < 3|1 < 3 < 2|1 == 1 != 2|'a' < 'b'|'B' < 'a'|[1, 2] < [1, 3]|1 < 'a'|none < 1|1 <= 1 >= 1|list == [3, 1, 2]
dict == {'b': 1}|(1, 2) == [1, 2]|none == missing|missing == nope|missing == ''|missing != 1|1 is eq 1
3 in list|'3' in list|4 not in list|'ell' in s|'x' in s|1 in s|'a' in dict|'z' not in dict|1 in missing|1 in none|1 in 5
s if t else n|s if f else n|s if f|(s if f) is defined|1 if 0 else 2 if 0 else 3|'a' if n > 5 and x else 'b'
s[0]|s[-1]|s[100]|s[1:4]|s[:5]|s[-5:]|s[::-1]|s[::2]|s[10:2:-3]|s[5:2]|s[-100:100]|u[0]|u[-1]|u[7:9]|u[::-1]|s['x']
list[0]|list[-1]|list[9]|list[1:]|list[::-1]|list[:-1]|list[::2]|list[5:]|list[-2:-1]|list[9] is defined|list[none:]|list['a':]
list[::0]|list.0|list.1|list[t]|(1, 2, 3)[1:]|none_value[0]|missing[0]|n[0]|dict[0]|list[1.0]|nothing[0].x
dict.b|dict['b']|dict.a.c[2].d|dict['a']['c'][-1]['d']|dict.zzz|dict.zzz.y|dict['items']|dict.items() | list|dict.keys() | list|dict.values() | list
dict.get('b')|dict.get('q')|dict.get('q', 5)|dict.items is defined|dict.items is callable|people[0]['items']|none_value.x|none_value.x.y|n.x|s.x|missing.x|list.x
s.upper()|s.lower()|s.title()|s.capitalize()|'aB cD-eF'.title()|u.upper()|u.lower()|'they\\'re'.title()|'ÉCOLE'.lower()
spaces.strip()|spaces.lstrip()|spaces.rstrip()|'xxaxx'.strip('x')|'xyaxy'.lstrip('yx')|'a,b'.rstrip('b,')|'\u00a0\u2003a\u3000'.strip()|'ééaé'.strip('é')
'a,b,,c'.split(',')|'a,b,c'.split(',', 1)|'a  b c '.split()|''.split()|''.split(',')|spaces.split()|'a b c'.split(none, 1)|'a,b,c'.rsplit(',', 1)|'a,b'.rsplit(',')|'abc'.split('')|'a--b'.split('--')
lines.splitlines()|lines.splitlines(true)|s.startswith('Hell')|s.endswith(('x', 'ld'))|s.startswith(1)|s.find('o')|s.rfind('o')|s.find('zz')|u.find('中')|s.count('l')|s.index('W')|s.index('zz')|'aaa'.count('aa')
s.replace('l', 'L')|s.replace('l', 'L', 1)|s.replace('', '-')|''.replace('', 'x')|s.replace('zz', 'y')|'a-b-c'.partition('-')|'a-b-c'.rpartition('-')|'abc'.partition('x')|'prefix_a'.removeprefix('prefix_')|'a.py'.removesuffix('.py')
','.join(['a', 'b'])|','.join([1])|'12'.isdigit()|'1a'.isdigit()|''.isdigit()|' \\t'.isspace()|'AB'.isupper()|'ab1'.islower()|'1'.islower()|list.index(2)|list.count(1)|list.index(9)
list.append(4)|dict.update({})|dict.pop('b')|s.nope()|missing.foo()|none_value.foo()|s()|n()|missing()|list()|dict.zzz()
s | length|list | length|dict | length|u | length|missing | length|n | length|none_value | length|list | count|(1, 2) | length
s | upper|s | lower|'hello world-foo (bar)' | title|'HELLO World' | capitalize|n | upper|none_value | upper|missing | upper|u | upper
spaces | trim|'xxaxx' | trim('x')|n | trim|missing | trim|none_value | trim|'a' | trim | upper | length
missing | default('d')|none_value | default('d')|empty | default('d')|empty | default('d', true)|none_value | default('d', boolean=true)|missing | d|f | default(1, true)|missing.x | default(1)
list | join|list | join(', ')|words | join('/')|people | join(', ', attribute='name')|nothing | join(',')|s | join('-')|missing | join|n | join|dict | join(',')|pairs | join
list | first|list | last|nothing | first|nothing | last|s | first|s | last|dict | first|(nothing | first) is defined|missing | first
list | sort|list | sort(reverse=true)|words | sort|words | sort(case_sensitive=true)|people | sort(attribute='age') | map(attribute='name') | join(',')|list | reverse | list|s | reverse|words | unique | list|words | unique(true) | list|[1, 'a'] | sort
list | sum|people | sum(attribute='age')|list | sum(start=10)|list | min|list | max|words | min|nothing | max|people | map(attribute='name') | list|people | map(attribute='tags.0') | list|people | map(attribute='zz', default='-') | list
words | map('upper') | list|words | map('replace', 'p', 'P') | list|list | map('string') | join|words | map('length') | list|list | map('nope') | list|words | map | list
list | select('odd') | list|list | reject('odd') | list|list | select('>', 1) | list|[0, 1, '', 'a', none] | select | list|people | selectattr('tags') | list | length|people | selectattr('age', 'equalto', 31) | map(attribute='name') | list|people | rejectattr('age', 'eq', 31) | map(attribute='name') | list|people | selectattr('tags', 'defined') | list | length|list | select('nope') | list|words | select('in', ['fig', 'pear']) | list|people | selectattr('zz.y') | list
dict | items | list|dict | dictsort | list|{'b': 2, 'A': 1, 'c': 0} | dictsort|{'b': 2, 'A': 1, 'c': 0} | dictsort(by='value')|{'b': 2, 'A': 1} | dictsort(true)|missing | items | list|list | items | list|dict | list|s | list
'3' | int|'3.7' | int|'x' | int|'x' | int(5)|' 42 ' | int|3.9 | int|-3.9 | int|t | int|none_value | int|missing | int|'ff' | int(0, 16)|'1e3' | int|'3.5' | float|'x' | float|7 | float|'x' | float(1.5)|missing | float
2.5 | round|3.5 | round|2.567 | round(2)|2.1 | round(0, 'ceil')|2.9 | round(method='floor')|7 | round|-5 | abs|5.5 | abs|s | abs|n | string|[1] | string|none_value | string|missing | string|1.50 | string
s | replace('o', '0')|s | replace('o', '0', 1)|n | replace('7', '8')|'a\\nb\\n\\nc' | indent|'a\\nb' | indent(2)|'a\\nb' | indent(2, true)|'a\\n\\nb' | indent(2, false, true)|'a\\nb' | indent('> ')|'a' | indent(first=true)|html | safe
dict | tojson|list | tojson|u | tojson|quote | tojson|html | tojson|none_value | tojson|t | tojson|x | tojson|missing | tojson|huge | tojson|small | tojson|(1, 2) | tojson|nothing | tojson|{} | tojson
dict | tojson(indent=2)|dict | tojson(true, 4)|{'a': [], 'b': {}} | tojson(indent=2)|[1, [2, [3]]] | tojson(indent=1)|u | tojson(ensure_ascii=true)|'😀\\x7f' | tojson(ensure_ascii=true)|{'b': 1, 'a': 2} | tojson(sort_keys=true)|{'a': [1, 2]} | tojson(separators=(',', ':'))|{'a': [1, 2]} | tojson(indent=0)|dict | tojson(nope=1)
n is defined|missing is defined|missing is undefined|missing is not defined|none_value is none|n is none|n is not none|missing is none|s is string|n is string|n is number|t is number|x is number|n is integer|t is integer|x is float|t is boolean|1 is boolean
t is true|1 is true|f is false|0 is false|dict is mapping|list is mapping|list is iterable|s is iterable|n is iterable|missing is iterable|none_value is iterable|dict is iterable|list is sequence|s is sequence|dict is sequence|n is sequence|range is callable|s is callable
3 is odd|4 is even|3 is even|9 is divisibleby 3|9 is divisibleby(2)|1 is sameas true|none is sameas none|'a' is in ['a']|3 is in list|3 is not in list|'AB' is upper|'aB' is lower|2 is gt 1|2 is lt(1)|2 is ge 2|'x' is eq('x')|'x' is ne 'x'|n is not none and t|n is defined and s is string
range(5) | list|range(2, 5) | list|range(10, 0, -3) | list|range(0) | list|range(5)[1:3] | list|range(1, 2, 0)|range('a')|range(3) | join(',')|(range(3) | list)[-1]
dict(a=1, b='x')|namespace(a=1).a|namespace(a=1).b|namespace({'q': 2}).q|strftime_now('%Y-%m-%d')|strftime_now('%d %b %Y, %A %a %B %H:%M:%S %I %p %j %y %%')|strftime_now('%-d/%-m %-H')|strftime_now('%F %T %D %R %e')
raise_exception('boom')|raise_exception()|nope(1)|cycler(1)|(lambda)|1 +|s | nope|s is nope|[1, 2|{'a'}|'unclosed|a b|1 2|{1: 2}|x.|s|upper()
-n|+n|-x|- -n|-t|-s|n|float|n | float | string|s|upper|lower|-n | abs|(-n) | abs|not n == 7|not (n == 7)|n == 7 and not x == 1
people[0].name ~ people[-1]['name']|people[5].name|people | map(attribute='name') | map('lower') | join('+')|(people | first).name|people[0].tags[0]|people[1].tags|people[1].tags[0]
""".strip("\n").split("\n")

BLOCKS = [
    "{% if t %}a{% endif %}", "{% if f %}a{% elif n == 7 %}b{% else %}c{% endif %}",
    "{% if missing %}a{% else %}b{% endif %}", "{% for i in list %}{{ i }},{% endfor %}",
    "{% for i in nothing %}x{% else %}none{% endfor %}", "{% for i in missing %}x{% else %}none{% endfor %}",
    "{% for i in n %}x{% endfor %}", "{% for c in s %}{{ c }}.{% endfor %}",
    "{% for k in dict %}{{ k }} {% endfor %}", "{% for k, v in dict.items() %}{{ k }}={{ v }};{% endfor %}",
    "{% for k, v in dict | items %}{{ k }};{% endfor %}", "{% for a, b in pairs %}{{ a }}{{ b }}{% endfor %}",
    "{% for (a, b) in pairs %}{{ a }}{{ b }}{% endfor %}", "{% for a, b in list %}{{ a }}{% endfor %}",
    "{% for a, b, c in pairs %}{{ a }}{% endfor %}",
    "{% for i in list %}{{ loop.index }}{{ loop.index0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.depth }}{{ loop.depth0 }} {% endfor %}",
    "{% for i in list %}{{ loop.previtem }}<{{ i }}>{{ loop.nextitem }};{% endfor %}",
    "{% for i in list %}{{ loop.previtem is defined }}{{ loop.nextitem is defined }}{% endfor %}",
    "{% for i in list %}{{ loop.cycle('a', 'b') }}{% endfor %}",
    "{% for i in list if i > 1 %}{{ loop.index }}:{{ i }}/{{ loop.length }} {% else %}none{% endfor %}",
    "{% for i in list if i > 9 %}{{ i }}{% else %}none{% endfor %}",
    "{% for i in list %}{% for j in list %}{{ loop.depth }}{{ i }}{{ j }} {% endfor %}{{ loop.index }}{% endfor %}",
    "{% for i in range(10) %}{% if i == 3 %}{% continue %}{% endif %}{% if i > 5 %}{% break %}{% endif %}{{ i }}{% endfor %}",
    "{% break %}", "{% for i in list %}{{ loop }}{% endfor %}x",
    "{{ loop is defined }}", "{% for i in list %}{% endfor %}{{ i is defined }}",
    "{% set a = 1 %}{{ a }}", "{% set a, b = 1, 2 %}{{ a }}{{ b }}", "{% set a = 1, 2 %}{{ a }}",
    "{% set a, b = list %}{{ a }}", "{% set a %}x {{ n }} y{% endset %}[{{ a }}]",
    "{% set a %}  {% endset %}[{{ a }}]{{ a is string }}",
    "{% set a = 1 %}{% for i in list %}{% set a = i %}{% endfor %}{{ a }}",
    "{% set a = 1 %}{% for i in list %}{{ a }}{% set a = i %}{{ a }}{% endfor %}{{ a }}",
    "{% set a = 1 %}{% if t %}{% set a = 2 %}{% endif %}{{ a }}",
    "{% if t %}{% set q = 2 %}{% endif %}{{ q }}", "{% for i in list %}{% if t %}{% set q = 2 %}{% endif %}{{ q }}{% endfor %}{{ q is defined }}",
    "{% set ns = namespace(c=0) %}{% for i in list %}{% set ns.c = ns.c + i %}{% endfor %}{{ ns.c }}",
    "{% set ns = namespace() %}{% set ns.a = 'x' %}{{ ns.a }}{{ ns.b is defined }}",
    "{% set dict.q = 1 %}", "{% set missing.q = 1 %}", "{% set n = n + 1 %}{{ n }}",
    "{% set messages = list[1:] %}{{ messages }}", "{% set list = list[1:] %}{{ list }}",
    "{% set ns = namespace(l=[]) %}{% for i in list %}{% set ns.l = ns.l + [i * 2] %}{% endfor %}{{ ns.l }}",
    "{% macro m(a, b=2, c='x') %}[{{ a }}{{ b }}{{ c }}]{% endmacro %}{{ m(1) }}{{ m(1, 3) }}{{ m(1, c='y') }}{{ m(a=5) }}{{ m() }}",
    "{% macro m(a) %}{{ a }}{% endmacro %}{{ m(1, 2) }}", "{% macro m(a) %}{{ a }}{% endmacro %}{{ m(1, b=2) }}",
    "{% macro m(a, b=a) %}{{ b }}{% endmacro %}{{ m(4) }}", "{% macro m() %}{{ n }}{{ z }}{% endmacro %}{% set z = 5 %}{{ m() }}",
    "{% macro f(k) %}{% if k > 0 %}{{ k }}{{ f(k - 1) }}{% endif %}{% endmacro %}{{ f(4) }}",
    "{% macro m() %}{% set inner = 1 %}{% endmacro %}{{ m() }}{{ inner is defined }}",
    "{% macro m() %}  a\n  b {% endmacro %}{{ m() | trim | upper }}", "{{ m() }}{% macro m() %}x{% endmacro %}",
    "{% macro m(a, a2=missing) %}{{ a2 is defined }}{% endmacro %}{{ m(1) }}{{ m is callable }}{{ m(1) is string }}",
    "{% for i in list %}{% macro m() %}{{ i }}{% endmacro %}{{ m() }}{% endfor %}",
    "{% generation %}a{{ n }}{% endgeneration %}b", "{% generation %}{% set g = 1 %}{% endgeneration %}{{ g is defined }}",
    "a{# comment #}b", "a\n{# comment #}\nb", "a\n  {# comment #}  \nb", "a {#- c -#} b", "{# unclosed",
    "{% raw %}{{ n }}{% if %}{% endraw %}x", "a\n{% raw %}\n  x\n{% endraw %}\nb", "a {%- raw -%}  x  {%- endraw -%} b", "{% raw %}x",
    "a\n{% if t %}\nb\n{% endif %}\nc\n", "a\n  {% if t %}\n  b\n  {% endif %}\n  c\n\n",
    "  {% if t %}x{% endif %}  \n y", "a  {% if t %}  x  {% endif %}  b", "a  {%- if t -%}  x  {%- endif -%}  b",
    "a \n\n {%- if t %} x {% endif -%} \n\n b", "  {%+ if t %}x{% endif +%}\ny", "a\n  {{ n }}\n  b", "a\n  {{- n -}}\n  b",
    "\n\n{{ n }}\n\n", "{{ n }}\n", "{{ n }}\n\n", "\r\na\r\n{% if t %}\r\nb\r{% endif %}\r\nc\r\n", "", "\n", " \n ", "plain { text } % # }}",
    "{{ '}}' }}{{ '{%' }}{{ \"%}\" }}", "{{ {'a': {'b': 1}} }}", "{{ {'a': {'b': 1}}['a']['b'] }}", "{{n}}{{-n-}}{{ -n}}",
    "{%if t%}a{%endif%}", "{%- set a = 1 -%}\n\n{{ a }}", "a\n{% set a = 1 %}\n\nb", "{% set a = 1 %}   \nb", "x{{ 1, 2 }}y",
    "{% if t %}a", "{% endif %}", "{% else %}", "{% for i in list %}x", "{{ n", "{% if t", "{% nope %}", "{% if %}a{% endif %}",
    "{% include 'x' %}", "{% extends 'x' %}", "{% import 'x' as y %}", "{% for i list %}{% endfor %}", "{% set %}{% endset %}", "{% set 1 = 2 %}",
    "{% macro m(a=1, b) %}{% endmacro %}", "{{ m(a=1, 2) }}", "{{ 'a' 1 }}", "{{ [1 2] }}", "{{ ) }}", "{{ @ }}", "{{ a.1b }}", "{{ 'a\nb' }}",
    "{% for i in list %}{{ i }}{% if not loop.last %}, {% endif %}{% endfor %}", "{% for x in (1, 2) %}{{ x }}{% endfor %}", "{% for x in 1, 2 %}{{ x }}{% endfor %}",
    "{% for p in people | sort(attribute='name') %}{{ p.name }}{{ loop.index }}{% endfor %}",
    "{% for p in people %}{% for t in p.tags or ['-'] %}{{ t }}{% endfor %}{% endfor %}",
    "{% if 'a' in dict and dict['a'] is mapping and dict.a.c is iterable %}y{% endif %}",
    "{% set x = missing.y if missing is defined else 'none' %}{{ x }}",
    "{% set out = [] %}{% for i in list %}{% set _ = out.append(i) %}{% endfor %}{{ out }}",
    "{% for i in range(3) %}{% set a = i %}{{ a }}{% endfor %}{{ a }}", "{% with a = 1 %}{{ a }}{% endwith %}",
    "{% for k, v in {'x': 1}.items() %}{{ k ~ v }}{% endfor %}", "{{ [[1, 2], [3]] | map('join', '-') | list }}",
]

# A bar with spaces around it is a filter's; one without parts two expressions.
SNIPPETS = ["{{ " + expression + " }}" for line in EXPRESSIONS
            for expression in re.split(r"(?<! )\|(?! )", line)] + BLOCKS
