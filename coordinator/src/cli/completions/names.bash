
# Names from the state where the command takes one; everything else from the function above.
_rheo_or_names() {
    local names IFS=$' \t\n'
    names=$(rheo complete-names "${COMP_WORDS[@]:0:COMP_CWORD}" "$2" 2>/dev/null)
    if [[ -z $names ]]; then
        _rheo "$@"
        return
    fi
    COMPREPLY=($names)
    # A trial follows the slash.
    [[ $names != */ ]] || compopt -o nospace 2>/dev/null
}
