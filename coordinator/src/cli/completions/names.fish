
# Names from the state where the command takes one.
function __rheo_names
    rheo complete-names (commandline -opc) (commandline -ct) 2>/dev/null
end
complete -c rheo -n 'set -g __rheo_found (__rheo_names); test -n "$__rheo_found"' -k -f -a '$__rheo_found'
