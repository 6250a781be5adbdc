"""Forms that are known beforehand: how people write secrets, and what stands in the same place and is none.

The labelled lines come from few repositories; a form that only one of them uses would be unknown to the fold
without it. These
lines carry a small weight. Names and values are put together at random, the same for the same seed.
"""

from __future__ import annotations

import base64
import random
import string
from collections.abc import Callable, Sequence

from analyzer.engine.features import vector
from analyzer.engine.file_types import extension_of
from analyzer.engine.locate import Locator
from analyzer.training.synthesis import HEX, URL_SAFE

LINES = 3000
WEIGHT = 0.12

_FORMS = (
    ("py", '{name} = "{value}"'), ("py", '    "{name}": "{value}",'), ("py",
        'client = Client({name}="{value}")'),
    ("py", 'os.environ["{NAME}"] = "{value}"'), ("js", "const {camel} = '{value}';"), ("ts",
        "  {camel}: '{value}',"),
    ("java", 'private static final String {NAME} = "{value}";'), ("java", 'config.set{Camel}("{value}");'),
    ("go", '\t{Camel}: "{value}",'), ("go", '{camel} := "{value}"'), ("rb", "  {name}: '{value}',"), ("php",
        "${name} = '{value}';"),
    ("php", "define('{NAME}', '{value}');"), ("cs", 'var {camel} = "{value}";'), ("json",
        '  "{name}": "{value}",'), ("json", '"{camel}": "{value}"'),
    ("yml", "  {name}: {value}"), ("yml", '{NAME}: "{value}"'), ("yaml", "      - {NAME}={value}"), ("yaml",
        "{camel}: {value}"),
    ("env", "{NAME}={value}"), ("", "{NAME}={value}"), ("properties", "spring.datasource.{name}={value}"),
        ("ini", "{name} = {value}"),
    ("toml", '{name} = "{value}"'), ("tf", '  {name} = "{value}"'), ("xml", "<{name}>{value}</{name}>"),
    ("xml", '<add key="{name}" value="{value}" />'), ("sh", 'export {NAME}="{value}"'), ("sh",
        "{NAME}={value} ./run.sh"),
    ("sh", "tool --{dash} {value} --verbose"), ("md", "docker run -e {NAME}={value} image"), ("md",
        "{name}: {value}"),
    ("dockerfile", "ENV {NAME}={value}"), ("sql", "CREATE USER app WITH {sqlname} '{value}';"),
    ("yml", "url: postgres://app:{value}@db.internal:5432/app"), ("",
        'DSN="mysql://root:{value}@localhost/app"'),
    ("go", 'db, err := open("mssql://sa:{value}@localhost/")'), ("py",
        'URL = "amqp://worker:{value}@queue:5672//"'),
    ("sh", "curl -u admin:{value} https://service.internal/"), ("py",
        'headers = {{"Authorization": "Bearer {value}"}}'),
)  # fmt: skip
_NAMES = (
    "password", "db_password", "secret", "client_secret", "token", "access_token", "api_key", "secret_key",
    "auth_token", "admin_pass",
    "passwd", "root_password", "jwt_secret", "encryption_key", "pwd", "smtp_password", "private_token",
    "aws_secret_access_key", "passphrase",
    "signing_key", "webhook_secret", "refresh_token", "credentials", "basic_auth", "user_password",
    "redis_password", "app_secret",
)  # fmt: skip
_OTHER_NAMES = (
    "token_type", "password_field", "secret_name", "key_id", "auth_method", "password_hint", "tokenizer",
    "token_url", "auth_provider",
    "secret_path", "password_label", "credential_type", "api_key_name", "authorization_endpoint",
    "token_count", "author",
    "pad_token", "eos_token", "password_placeholder", "next_token", "csrf_token_name", "key_vault",
    "secret_store", "passthrough",
    "auth_header", "token_file", "password_reset_url", "authentication_backend", "bos_token", "token_key",
    "password_error_message",
)  # fmt: skip
_PLACEHOLDERS = (
    "your_password", "your-api-key", "YOUR_TOKEN_HERE", "changeme", "<password>", "${DB_PASSWORD}",
        "{{ secret }}", "xxxxxxxx", "********",
    "password", "secret", "token", "example", "null", "None", "true", "false", "string", "TODO", "%s",
        "%(password)s", "$PASSWORD",
    "insert-your-key-here", "dummy", "placeholder", "my-secret", "not-a-real-key", "sample-token",
    "xxx-xxx-xxx", "...", "REDACTED",
    "<your-token>", "#{token}", "@Value", "my_secret_name", "process.env.TOKEN", "config.password",
        "self.token", "str", "Bearer",
    "required", "optional", "Password", "Enter password", "Invalid token", "utf-8", "sha256", "HS256",
    "basic", "oauth2", "bearer",
)  # fmt: skip


def _random_value(rng: random.Random, words: Sequence[str]) -> str:
    makers: tuple[Callable[[], str], ...] = (
        lambda: "".join(
            rng.choices(string.ascii_letters + string.digits, k=rng.choice((12, 16, 20, 24, 32, 40, 64)))
        ),
        lambda: "".join(rng.choices(HEX, k=rng.choice((32, 40, 64)))),
        lambda: base64.b64encode(rng.randbytes(rng.choice((24, 30, 32, 48)))).decode(),
        lambda: "".join(rng.choices(URL_SAFE, k=rng.choice((22, 32, 43, 64)))),
        lambda: "".join(
            rng.choices(
                string.ascii_letters + string.digits + "!@#%^*_-+=", k=rng.choice((8, 10, 12, 16, 20, 30))
            )
        ),
        lambda: (
            rng.choice(words).capitalize()
            + str(rng.randrange(10, 10_000))
            + rng.choice("!@#$*") * rng.randrange(2)
        ),
        lambda: rng.choice(words) + rng.choice("-_@!.") * rng.randrange(2) + str(rng.randrange(1, 10_000)),
        lambda: "".join(rng.choices(string.ascii_lowercase + string.digits, k=rng.choice((10, 16, 25, 32)))),
        lambda: (
            rng.choice(words).capitalize().replace("a", "4").replace("o", "0").replace("s", "5")
            + str(rng.randrange(10, 999))
        ),
    )
    return rng.choice(makers)()


def _plain_value(rng: random.Random, words: Sequence[str]) -> str:
    makers: tuple[Callable[[], str], ...] = (
        lambda: rng.choice(_PLACEHOLDERS), lambda: rng.choice(_PLACEHOLDERS),
        lambda: "_".join(rng.sample(words, 2)), lambda: "-".join(rng.sample(words, 3)),
            lambda: ".".join(rng.sample(words, 3)),
        lambda: rng.choice(words) + "".join(word.capitalize() for word in rng.sample(words, 2)),
        lambda: "/" + "/".join(rng.sample(words, 3)), lambda: " ".join(rng.sample(words, 3)).capitalize(),
        lambda: f"https://{rng.choice(words)}.example.com/{rng.choice(words)}",
            lambda: f"<{rng.choice(words)}>",
        lambda: str(rng.randrange(100_000)), lambda: f"{rng.choice(words)}:{rng.choice(words)}",
            lambda: f"[{rng.choice(words)}]",
        lambda: "_".join(rng.sample(words, 2)).upper(),
            lambda: f"{rng.randrange(9)}.{rng.randrange(20)}.{rng.randrange(20)}",
        lambda: f"${{{rng.choice(words).upper()}}}", lambda: f"{rng.choice(words)}()",
    )  # fmt: skip
    return rng.choice(makers)()


def known_forms(
    locator: Locator, words: Sequence[str], bigrams: list[list[float]], seed: int
) -> tuple[list[list[float]], list[int], list[float]]:
    """Vectors, labels and weights of the candidates that the engine sees in the known forms."""
    rng = random.Random(f"{seed}:forms")
    vectors, labels, weights = [], [], []
    for number in range(LINES):
        label = number % 3 == 0
        extension, form = rng.choice(_FORMS)
        name = rng.choice(_NAMES if label or rng.random() < 0.6 else _OTHER_NAMES)
        value = _random_value(rng, words) if label else _plain_value(rng, words)
        if not label and name in _OTHER_NAMES and rng.random() < 0.3:
            value = rng.choice(words)
        path = f"file.{extension}" if extension else "file"
        content = _written(form, name, value).encode()
        located = locator.locate(content, path)
        for candidate in located.candidates:
            if candidate.value == value.encode():
                vectors.append(list(map(float, vector(candidate, extension_of(path), bigrams))))
                labels.append(int(label))
                weights.append(WEIGHT)
    return vectors, labels, weights


def _written(form: str, name: str, value: str) -> str:
    pascal = "".join(word.capitalize() for word in name.split("_"))
    return form.format(
        name=name, NAME=name.upper(), camel=pascal[0].lower() + pascal[1:], Camel=pascal,
            dash=name.replace("_", "-"),
        sqlname="PASSWORD" if "pass" in name else name.upper(), value=value,
    )  # fmt: skip
