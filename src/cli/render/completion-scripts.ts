/**
 * The completion scripts: thin, because the hidden command `__complete` does the work. It is given the words
 * after `sandwarden` up to the one at the cursor, and answers one candidate per line (`value<TAB>what it is`),
 * or the single line `:file` or `:directory`.
 */
export const completionScripts = {
  bash: `# bash completion of sandwarden
_sandwarden() {
  local cur line
  cur=\${COMP_WORDS[COMP_CWORD]}
  COMPREPLY=()
  local -a words=("\${COMP_WORDS[@]:1:COMP_CWORD}")
  # bash splits words at '=' too: '--show', '=', 'er' is '--show=er', of which only 'er' is replaced.
  while IFS= read -r line; do
    case $line in
      :file) compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -f -- "$cur"); return ;;
      :directory) compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -d -- "$cur"); return ;;
      *) COMPREPLY+=("\${line%%$'\\t'*}") ;;
    esac
  done < <("\${COMP_WORDS[0]}" __complete "\${words[@]}" 2>/dev/null)
}
complete -F _sandwarden sandwarden
`,
  zsh: `#compdef sandwarden
# zsh completion of sandwarden
_sandwarden() {
  local -a lines candidates
  local line
  lines=("\${(@f)$("\${words[1]}" __complete "\${(@)words[2,CURRENT]}" 2>/dev/null)}")
  for line in $lines; do
    case $line in
      :file) _files; return ;;
      :directory) _files -/; return ;;
      ?*) candidates+=("\${\${line%%$'\\t'*}//:/\\\\:}:\${line#*$'\\t'}") ;;
    esac
  done
  _describe -t sandwarden sandwarden candidates
}
if [[ \${funcstack[1]} == _sandwarden ]]; then
  _sandwarden "$@"
else
  compdef _sandwarden sandwarden
fi
`,
  fish: `# fish completion of sandwarden
function __sandwarden_complete
    set -l words (commandline -opc) (commandline -ct)
    set -l lines (command $words[1] __complete $words[2..-1] 2>/dev/null)
    switch "$lines"
        case ':file'
            __fish_complete_path (commandline -ct)
        case ':directory'
            __fish_complete_directories (commandline -ct)
        case '*'
            printf '%s\\n' $lines
    end
end
complete -c sandwarden -f -a '(__sandwarden_complete)'
`,
} as const;
