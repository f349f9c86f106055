# bash completion for berth; berth itself knows what may come next.

_berth() {
  local cur prev words cword text kind breaks before path
  _get_comp_words_by_ref -n '=:@' cur prev words cword
  COMPREPLY=()
  while IFS=$'\t' read -r text _; do
    case $text in
      :*) kind=$text ;;
      *) COMPREPLY+=("$text") ;;
    esac
  done < <("${words[0]}" __complete "${words[@]:1:cword}" 2>/dev/null)
  # Readline starts a new word behind those of these characters that it breaks at, and wants only what follows.
  breaks=${COMP_WORDBREAKS//[^=:@]/}
  before=
  [[ -z $breaks ]] || before=${cur%"${cur##*[$breaks]}"}
  path=${cur#"$before"}
  case ${kind:-} in
    :files) compopt -o filenames; mapfile -t -O "${#COMPREPLY[@]}" COMPREPLY < <(compgen -f -- "$path") ;;
    :directories) compopt -o filenames; mapfile -t -O "${#COMPREPLY[@]}" COMPREPLY < <(compgen -d -- "$path") ;;
    :commands) compopt -o filenames; mapfile -t -O "${#COMPREPLY[@]}" COMPREPLY < <(compgen -c -- "$path"; compgen -f -- "$path") ;;
    *) COMPREPLY=("${COMPREPLY[@]#"$before"}") ;;
  esac
  [[ ${COMPREPLY[0]:-} != *= ]] || compopt -o nospace
}

complete -F _berth berth
