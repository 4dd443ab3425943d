
# Names from the state.
_rheo_names() {
    local -a names
    names=(${(f)"$(rheo complete-names "${rheo_words[@]}" 2>/dev/null)"})
    # A trial follows the slash.
    compadd -S '' -- ${(M)names:#*/}
    compadd -- ${names:#*/}
}
