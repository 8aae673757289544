"""defdistill completion: what a shell asks when somebody presses Tab."""

from __future__ import annotations

import argparse
from typing import Any

from defensive_distillation.errors import ConfigurationError
from defensive_distillation_pipelines.commands.candidates import candidates
from defensive_distillation_pipelines.commands.parser import command

# pydantic would look for plugins among all packages; a name with a tab has a word of help behind it
_ASK = "PYDANTIC_DISABLE_PLUGINS=1 {program} completion --of {words} 2>/dev/null"
_SCRIPTS = {
    "bash": """_defdistill() {{
    local IFS=$'\\n'
    COMPREPLY=($({ask} | cut -f1))
    [[ ${{#COMPREPLY[@]}} -eq 1 && ${{COMPREPLY[0]}} == *= ]] && compopt -o nospace
}}
complete -o default -F _defdistill defdistill
""",
    "zsh": """#compdef defdistill
_defdistill() {{
    local -a found open
    found=("${{(@f)$({ask} | cut -f1)}}")
    open=(${{(M)found:#*=}})
    found=(${{found:#*=}})
    if (( $#found + $#open )); then
        compadd -Q -- $found
        compadd -Q -S '' -- $open
    else
        _files
    fi
}}
compdef _defdistill defdistill
""",
    "fish": """function __defdistill
    set -l words (commandline -opc)
    set -l now (commandline -ct)
    set -l found ({ask})
    if test (count $found) -gt 0
        printf '%s\\n' $found
    else
        __fish_complete_path "$now"
    end
end
complete -c defdistill -f -a '(__defdistill)'
""",
}
_WORDS = {
    "bash": ('"${COMP_WORDS[0]}"', '"${COMP_WORDS[@]:1:COMP_CWORD}"'),
    "zsh": ('"${words[1]}"', '"${(@)words[2,CURRENT]}"'),
    "fish": ("$words[1]", '$words[2..-1] "$now"'),
}


def add(commands: Any) -> None:
    """Adds the verb."""
    parser = command(
        commands,
        "completion",
        _call,
        "Print what makes a shell complete verbs, flags, settings and the names of runs. Bash and zsh eval it in "
        "~/.bashrc, or in ~/.zshrc after compinit; fish takes it as ~/.config/fish/completions/defdistill.fish.",
        "  defdistill completion bash\n  defdistill completion zsh\n  defdistill completion fish",
    )
    parser.add_argument("shell", nargs="?", choices=tuple(_SCRIPTS), metavar="SHELL", help="bash, zsh or fish")
    parser.add_argument("--of", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)


def _call(arguments: argparse.Namespace) -> None:
    from defensive_distillation_pipelines.commands.cli import command_parser

    if arguments.of is not None:
        for word, meaning in candidates(command_parser(), arguments.of):
            print(f"{word}\t{meaning}" if meaning else word)
    elif arguments.shell is None:
        raise ConfigurationError(f"completion: expected a shell, one of {', '.join(_SCRIPTS)}, got none")
    else:
        print(script(arguments.shell), end="")


def script(shell: str) -> str:
    """What a shell evaluates."""
    program, words = _WORDS[shell]
    return _SCRIPTS[shell].format(ask=_ASK.format(program=program, words=words))
