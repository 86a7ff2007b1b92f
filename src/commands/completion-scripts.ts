/** The shells that there are scripts for. */
export const shells = ['bash', 'zsh', 'fish'] as const;
export type Shell = (typeof shells)[number];

/**
 * The script that a shell reads to complete `cpm`: it asks `cpm completion words` for whatever is typed.
 *
 * @param url - of a server, `ssh://cpm@host:port/…`, where `cpm` is to be a function that asks it; undefined where
 * the program is installed
 */
export function scriptFor(shell: Shell, url: string | undefined): string {
  const where = url === undefined ? undefined : /^ssh:\/\/([^/]+?)(?::(\d+))?\//.exec(url);
  const [, target = '', port = '22'] = where ?? [];
  // A colon in brackets belongs to an IPv6 address, which ssh wants bare.
  const ssh = `ssh -p ${port} ${target.replace(/[[\]]/g, '')}`;
  const script = scripts[shell];
  return where === undefined ? script.completion : `${script.program(ssh)}\n${script.completion}`;
}

interface Script {
  /** Makes `cpm` a function, where there is no such program. */
  program(ssh: string): string;
  readonly completion: string;
}

const scripts: Readonly<Record<Shell, Script>> = {
  bash: {
    program: (ssh) => `command -v cpm >/dev/null || cpm() {
  local words=
  (($# == 0)) || printf -v words ' %q' "$@"
  ${ssh} "$words"
}
`,
    completion: `# cpm for bash; load it with: source <(cpm completion bash)
_cpm() {
  local line="\${COMP_LINE:0:COMP_POINT}" word about kept=
  local -a words
  read -ra words <<<"$line"
  [[ $line == *[[:space:]] ]] && words+=('')
  local typed="\${words[\${#words[@]} - 1]}"
  # bash replaces only what follows the last of its break characters.
  [[ $typed == *[:=]* ]] && kept="\${typed%"\${typed##*[:=]}"}"
  COMPREPLY=()
  while IFS=$'\\t' read -r word about; do
    if [[ $word == :files ]]; then compopt -o default
    else COMPREPLY+=("\${word#"$kept"}"); fi
  done < <("$1" completion words -- "\${words[@]:1}" </dev/null 2>/dev/null)
}
complete -F _cpm cpm`,
  },
  zsh: {
    program: (ssh) => `(( $+commands[cpm] )) || cpm() {
  ${ssh} "\${(j: :)\${(@q)argv}}"
}
`,
    completion: `# cpm for zsh; load it with: source <(cpm completion zsh)
(( $+functions[compdef] )) || { autoload -Uz compinit && compinit }
_cpm() {
  local word about
  local -a offers shown
  while IFS=$'\\t' read -r word about; do
    if [[ $word == :files ]]; then _files
    else
      offers+=("$word")
      shown+=("$word\${about:+  -- $about}")
    fi
  done < <("\${words[1]}" completion words -- "\${(@Q)words[2,CURRENT]}" </dev/null 2>/dev/null)
  (( \${#offers} )) && compadd -l -d shown -a offers
}
compdef _cpm cpm`,
  },
  fish: {
    program: (ssh) => `type -q cpm; or function cpm
    ${ssh} (string escape -- $argv | string join ' ')
end
`,
    completion: `# cpm for fish; load it with: cpm completion fish | source
function __cpm_words
    set -l words (commandline -opc)
    set -l typed (commandline -ct)
    for offer in ($words[1] completion words -- $words[2..-1] "$typed" </dev/null 2>/dev/null)
        if string match -q -- ':files*' $offer
            __fish_complete_path "$typed"
        else
            echo $offer
        end
    end
end
complete -c cpm -f -a '(__cpm_words)'`,
  },
};
