# settings PREFIX: the variables of that prefix as properties, as Confluent's images read them: lower case,
# `___` a dash, `__` an underscore, `_` a dot.
settings() {
    env | while IFS='=' read -r name value; do
        case $name in
            KAFKA_HEAP_OPTS | KAFKA_OPTS) ;;
            "$1"_*)
                name=${name#"$1"_}
                name=${name,,}
                name=${name//___/-}
                name=${name//__/@}
                name=${name//_/.}
                printf '%s=%s\n' "${name//@/_}" "$value"
                ;;
        esac
    done | sort
}
